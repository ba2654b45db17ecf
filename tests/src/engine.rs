//! The data path's engine on plain memory: frames in a `Vec`, tables in `Vec`s.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use relay_common::engine::{Frame, Head, HeadMut, MOST_SUMMED, Tables, Verdict, police, run};
use relay_common::{
    Allowances, BUCKET_WAYS, Bucket, Counter, HashKey, IndexEntry, KnownBucket, Leg, Meter,
    NextHop, PORT_ENTRIES, PORT_IS_CONTROL, PORT_IS_FLOW, PREFIX_ENTRIES, Paces, Pod, PortEntry,
    RtpHeader, Session, Streams, buckets_for, checksum, known_buckets_for, port_index,
};

/// `(slot, leg, packets, bytes)`.
pub type Charge = (u32, u32, u64, u64);

/// What every engine report about one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    pub frame: Vec<u8>,
    /// Counters that moved, and by how much.
    pub counters: Vec<(Counter, u64)>,
    /// Legs whose counters moved, and by how much.
    pub charged: Vec<Charge>,
    /// `(slot, leg)` of packets over a limit.
    pub refused: Vec<(u32, u32)>,
}

/// The shared tables in memory; also the source the kernel's maps are filled from.
pub struct MemoryTables {
    pub ports: Vec<PortEntry>,
    pub buckets: Vec<Bucket>,
    pub sessions: Vec<Session>,
    pub next_hops: Vec<NextHop>,
    pub meters: RefCell<Vec<Meter>>,
    pub streams: RefCell<Vec<Streams>>,
    pub key: HashKey,
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// All zero: no shield.
    pub paces: Paces,
    pub known: Vec<KnownBucket>,
    prefixes: Vec<Allowances>,
    total: Allowances,
    counters: Vec<Cell<u64>>,
    charged: RefCell<Vec<Charge>>,
    refused: RefCell<Vec<(u32, u32)>>,
    /// Slots the last packet asked for before it had asked the index.
    pub fetched: RefCell<Vec<u32>>,
}

impl MemoryTables {
    pub fn new(sessions: u32) -> Self {
        Self {
            ports: vec![PortEntry::default(); PORT_ENTRIES as usize],
            buckets: vec![Bucket::default(); buckets_for(sessions) as usize],
            sessions: Vec::with_capacity(sessions as usize),
            next_hops: vec![NextHop::default()],
            meters: RefCell::new(vec![Meter::default()]),
            streams: RefCell::new(vec![Streams::default()]),
            key: HashKey(std::array::from_fn(|i| {
                0x9e37_79b9u32.wrapping_mul(i as u32 + 1)
            })),
            jiffies: 1000,
            time: 1 << 40,
            paces: Paces::default(),
            known: filled(known_buckets_for(sessions)),
            prefixes: filled(PREFIX_ENTRIES),
            total: Allowances::default(),
            counters: vec![Cell::new(0); Counter::COUNT],
            charged: RefCell::default(),
            refused: RefCell::default(),
            fetched: RefCell::default(),
        }
    }

    pub fn next_hop(&mut self, next_hop: NextHop) -> u32 {
        self.next_hops.push(next_hop);
        self.next_hops.len() as u32 - 1
    }

    /// A meter for [`Leg::meters`].
    pub fn meter(&mut self, meter: Meter) -> u32 {
        self.meters.get_mut().push(meter);
        self.meters.get_mut().len() as u32 - 1
    }

    /// Slots for all sessions and all meters.
    pub fn slots(&self) -> u32 {
        let meters = self.meters.borrow().len() as u32 - 1;
        meters.div_ceil(2).max(self.sessions.len() as u32).max(1)
    }

    /// A place for [`Leg::streams`].
    pub fn stream_place(&mut self) -> u32 {
        self.streams.get_mut().push(Streams::default());
        self.streams.get_mut().len() as u32 - 1
    }

    /// Empty tables of the same size under the key of `seed`.
    pub fn with_seed(sessions: u32, seed: u32) -> Self {
        let mut tables = Self::new(sessions);
        tables.key.0.iter_mut().for_each(|word| *word ^= seed);
        tables
    }

    /// Installs a session under `generation`, both legs in the index.
    pub fn install(&mut self, session: Session, generation: u32) -> u32 {
        self.try_install(session, generation)
            .expect("room in the index")
    }

    /// The same; `None` if both buckets of a leg are full, as one leg in a million finds them.
    pub fn try_install(&mut self, session: Session, generation: u32) -> Option<u32> {
        let slot = self.sessions.len() as u32;
        self.sessions.push(Session::default());
        self.try_install_at(slot, session, generation)
    }

    /// The same, in a slot that is there already.
    pub fn try_install_at(
        &mut self,
        slot: u32,
        mut session: Session,
        generation: u32,
    ) -> Option<u32> {
        session.generation = generation;
        self.sessions[slot as usize] = session;
        for (leg, side) in session.legs.iter().enumerate() {
            let m = &side.matches;
            let place = self.key.place(m, self.buckets.len() as u32 - 1);
            let entry = IndexEntry::new(place.tag, generation, slot, leg as u32);
            let free = [place.first, place.second].into_iter().find_map(|b| {
                let bucket = &mut self.buckets[b as usize].0;
                (0..BUCKET_WAYS).find(|w| bucket[*w] == 0).map(|w| (b, w))
            });
            let (b, w) = free?;
            self.buckets[b as usize].0[w] = entry.0;
            let port =
                &mut self.ports[port_index(m.family == 6, u16::from_be(m.local_port)) as usize];
            port.kind |= if m.channel == 0 {
                PORT_IS_FLOW
            } else {
                PORT_IS_CONTROL
            };
        }
        Some(slot)
    }

    /// Makes `remote` known at `local_port` (0: TURN's), from the port it has or, with port 0, from any.
    pub fn know(&mut self, remote: SocketAddr, local_port: u16) {
        let (ip, mask) = (remote.ip(), self.known.len() as u32 - 1);
        let place = self
            .key
            .known(ip.into(), ip.is_ipv6(), remote.port(), local_port, mask);
        let ways = &self.known[place.first as usize].0;
        let free = ways.iter().find(|known| known.tag.get() == 0);
        free.expect("room for someone known").tag.set(place.tag);
    }

    /// Moves a leg's entry to its second bucket, as if there had been no room in the first.
    pub fn displace(&mut self, slot: u32, leg: u32) {
        let matches = &self.sessions[slot as usize].legs[leg as usize].matches;
        let place = self.key.place(matches, self.buckets.len() as u32 - 1);
        let ours = |word: u64| {
            word != 0 && IndexEntry(word).slot() == slot && IndexEntry(word).leg() == leg
        };
        let way = |bucket: &Bucket, wanted: &dyn Fn(u64) -> bool| {
            bucket.0.iter().position(|w| wanted(*w))
        };
        let from = way(&self.buckets[place.first as usize], &ours);
        let to = way(&self.buckets[place.second as usize], &|word| word == 0);
        if let (Some(from), Some(to)) = (from, to) {
            let entry = std::mem::take(&mut self.buckets[place.first as usize].0[from]);
            self.buckets[place.second as usize].0[to] = entry;
        }
    }

    /// Puts an entry of the same tag, but of another slot, before a leg's own: a collision.
    pub fn collide(&mut self, slot: u32, leg: u32, other: u32) {
        let matches = &self.sessions[slot as usize].legs[leg as usize].matches;
        let place = self.key.place(matches, self.buckets.len() as u32 - 1);
        let bucket = &mut self.buckets[place.first as usize].0;
        let own = |word: &u64| {
            *word != 0 && (IndexEntry(*word).slot(), IndexEntry(*word).leg()) == (slot, leg)
        };
        let (own, free) = (
            bucket.iter().position(own),
            bucket.iter().rposition(|word| *word == 0),
        );
        if let Some((own, free)) = own.zip(free).filter(|(own, free)| own < free) {
            let entry = IndexEntry(bucket[own]);
            bucket[free] = entry.0;
            bucket[own] = IndexEntry::new(entry.tag(), entry.generation(), other, leg).0;
        }
    }

    /// Gives the port of a plain leg its shortcut.
    pub fn hint(&mut self, slot: u32, leg: u32) {
        let session = &self.sessions[slot as usize];
        let m = &session.legs[leg as usize].matches;
        let index = port_index(m.family == 6, u16::from_be(m.local_port)) as usize;
        let kind = self.ports[index].kind;
        self.ports[index] = PortEntry {
            kind,
            slot,
            generation: session.generation,
            leg,
        };
    }

    /// Runs one packet; counters start at zero.
    pub fn run(&self, frame: &[u8], ingress: u32) -> Outcome {
        self.counters.iter().for_each(|c| c.set(0));
        self.charged.borrow_mut().clear();
        self.refused.borrow_mut().clear();
        self.fetched.borrow_mut().clear();
        let mut memory = MemoryFrame {
            bytes: frame.to_vec(),
            ingress,
        };
        let verdict = run(&mut memory, self);
        let counters = Counter::ALL
            .iter()
            .map(|c| (*c, self.counters[*c as usize].get()))
            .filter(|c| c.1 > 0);
        Outcome {
            verdict,
            frame: memory.bytes,
            counters: counters.collect(),
            charged: self.charged.borrow().clone(),
            refused: self.refused.borrow().clone(),
        }
    }
}

impl Tables for MemoryTables {
    fn port(&self, index: u32) -> Option<&PortEntry> {
        self.ports.get(index as usize)
    }
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.buckets.get(index as usize)
    }
    fn fetch(&self, slot: u32) {
        self.fetched.borrow_mut().push(slot);
    }
    fn session(&self, slot: u32) -> Option<&Session> {
        self.sessions.get(slot as usize)
    }
    fn next_hop(&self, index: u32) -> Option<&NextHop> {
        self.next_hops.get(index as usize)
    }
    fn hash_word(&self, i: usize) -> u32 {
        self.key.0[i]
    }
    fn bucket_mask(&self) -> u32 {
        self.buckets.len() as u32 - 1
    }
    fn slots(&self) -> u32 {
        self.slots()
    }
    fn jiffies(&self) -> u64 {
        self.jiffies
    }
    fn charge(&self, leg: &Leg, bytes: u64) {
        let offset = std::ptr::from_ref(leg) as usize - self.sessions.as_ptr() as usize;
        let within = offset % size_of::<Session>();
        let slot = (offset / size_of::<Session>()) as u32;
        let leg = u32::from(within >= std::mem::offset_of!(Session, legs) + size_of::<Leg>());
        self.charged.borrow_mut().push((slot, leg, 1, bytes));
    }
    fn admits(&self, arrival: [u32; 2], departure: [u32; 2], now: u64, bytes: u32) -> bool {
        police::admits(arrival, departure, |meter, direction, _| {
            let mut meters = self.meters.borrow_mut();
            let meter = &mut meters[meter as usize];
            match meter.rate.pay(meter.due[direction], now, bytes) {
                0 => {
                    meter.dropped[direction] += 1;
                    false
                }
                due => {
                    meter.due[direction] = due;
                    true
                }
            }
        })
    }
    fn refuse(&self, session: &Session, leg: usize) {
        let offset = std::ptr::from_ref(session) as usize - self.sessions.as_ptr() as usize;
        let slot = (offset / size_of::<Session>()) as u32;
        self.refused.borrow_mut().push((slot, leg as u32));
    }
    fn see(&self, streams: u32, header: &RtpHeader, bytes: u32, tick: u32) {
        if let Some(streams) = self.streams.borrow_mut().get_mut(streams as usize) {
            streams.see(header, bytes, tick, || self.time);
        }
    }
    fn paces(&self) -> Option<&Paces> {
        Some(&self.paces)
    }
    fn known(&self, bucket: u32) -> Option<&KnownBucket> {
        self.known.get(bucket as usize)
    }
    fn known_mask(&self) -> u32 {
        self.known.len() as u32 - 1
    }
    fn prefix(&self, index: u32) -> Option<&Allowances> {
        self.prefixes.get(index as usize)
    }
    fn total(&self) -> Option<&Allowances> {
        Some(&self.total)
    }
    fn count(&self, reason: Counter) {
        let counter = &self.counters[reason as usize];
        counter.set(counter.get() + 1);
    }
}

fn filled<T: Default>(count: u32) -> Vec<T> {
    (0..count).map(|_| T::default()).collect()
}

struct MemoryFrame {
    bytes: Vec<u8>,
    ingress: u32,
}

impl Frame for MemoryFrame {
    fn length(&self) -> usize {
        self.bytes.len()
    }
    fn ingress(&self) -> u32 {
        self.ingress
    }
    fn head(&self, length: usize) -> Option<Head<'_>> {
        let bytes = self.bytes.get(..length)?;
        // SAFETY: as many bytes, borrowed as long.
        Some(unsafe { Head::new(bytes.as_ptr(), length) })
    }
    fn head_mut(&mut self, length: usize) -> Option<HeadMut<'_>> {
        let bytes = self.bytes.get_mut(..length)?;
        // SAFETY: as many bytes, borrowed as long.
        Some(unsafe { HeadMut::new(bytes.as_mut_ptr(), length) })
    }
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset + size_of::<T>())?;
        // SAFETY: as many bytes as `T` has, and `Pod` takes any bytes at any alignment when read unaligned.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
    fn byte(&self, base: usize, offset: usize) -> Option<u8> {
        self.bytes.get(base + offset).copied()
    }
    fn sum(&self, offset: usize, length: u16) -> Option<u16> {
        let bytes = self.bytes.get(offset..offset + length as usize)?;
        (length <= MOST_SUMMED).then(|| checksum::fold(checksum::sum(bytes)))
    }
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let bytes = self.bytes.get_mut(offset..offset + size_of::<T>())?;
        // SAFETY: as many bytes as `T` has, written unaligned.
        unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
        Some(())
    }
    fn has_socket(&self, _is_v6: bool, _from: &[u32; 4], _to: &[u32; 4], _ports: u32) -> bool {
        false
    }
    fn move_start(&mut self, delta: i32) -> bool {
        if delta >= 0 {
            self.bytes.drain(..delta as usize);
        } else {
            self.bytes
                .splice(..0, std::iter::repeat_n(0, -delta as usize));
        }
        true
    }
}

#[cfg(test)]
mod tests;
