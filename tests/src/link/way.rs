//! One direction of a link: what its weather lets in waits for its turn, travels and arrives.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use socket2::Socket;

use super::Shared;
use super::police::Policer;
use super::weather::{Lots, Weather, is_udp};

/// The end of the link is looked for this often.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

pub(super) struct Way {
    pub from: Socket,
    pub to: Socket,
    /// Bytes.
    pub queue: usize,
    pub downstream: bool,
    pub seed: u64,
    pub shared: Arc<Shared>,
}

impl Way {
    pub fn run(mut self) {
        let mut lots = Lots::new(self.seed);
        let mut policer = Policer::new();
        let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
        let mut travelling: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let (mut bytes, mut free) = (0, Instant::now());
        let mut arrives = free;
        let mut buffer = vec![0; 4096];
        while !self.shared.over.load(Relaxed) {
            let idle = waiting.is_empty();
            let turn = (!idle).then_some(free);
            let arrival = travelling.front().map(|(due, _)| *due);
            self.wait([turn, arrival].into_iter().flatten().min());
            let weather = self.weather();
            while let Some(length) = self.take(&mut buffer) {
                let frame = &mut buffer[..length];
                let passes = self.passes(weather, &mut lots, frame)
                    && (!is_udp(frame) || policer.passes(weather.udp_police, length));
                if passes && bytes + length <= self.queue {
                    bytes += length;
                    waiting.push_back(frame.to_vec());
                }
            }
            let now = Instant::now();
            if idle {
                free = free.max(now);
            }
            while free <= now
                && let Some(frame) = waiting.pop_front()
            {
                bytes -= frame.len();
                free += self.time_of(weather, frame.len());
                // In order: nothing overtakes on a wire.
                arrives = arrives.max(free + weather.delay + lots.below(weather.jitter));
                travelling.push_back((arrives, frame));
            }
            while let Some((_, frame)) = travelling.pop_front_if(|(due, _)| *due <= now) {
                // What the card does not take is lost, as on any wire.
                let _ = self.to.write(&frame);
            }
        }
    }

    /// Until a frame comes, or `due`.
    fn wait(&self, due: Option<Instant>) {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.map_or(LONGEST_WAIT, |left| left.min(LONGEST_WAIT));
        let mut frames = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
        // Whatever it says, the next look finds what there is.
        let _ = ppoll(&mut frames, Some(left.into()), None);
    }

    fn weather(&self) -> Weather {
        let weather = &self.shared.weather;
        *weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes(&self, weather: Weather, lots: &mut Lots, frame: &mut [u8]) -> bool {
        if is_udp(frame) {
            if !self.downstream {
                self.shared.udp_upstream.fetch_add(1, Relaxed);
            }
            let nat = &self.shared.nat;
            let mut nat = nat.lock().unwrap_or_else(PoisonError::into_inner);
            let known = match self.downstream {
                true => nat.inward(frame),
                false => nat.outward(frame),
            };
            if !known {
                return false;
            }
        }
        weather.passes(lots, frame)
    }

    fn time_of(&self, weather: Weather, length: usize) -> Duration {
        let rate = match self.downstream {
            true => weather.rate,
            false => weather.rate_back,
        };
        match rate {
            Some(rate) => Duration::from_secs_f64(length as f64 * 8.0 / rate as f64),
            None => Duration::ZERO,
        }
    }

    fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.from.read(buffer).ok()
    }
}
