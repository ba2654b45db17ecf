//! The parts of one call and how they come together: two phones, the connector between them, the leg it is on.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Place;
use super::connector::{Connector, Event, Leg};
use super::measure::Measure;
use super::phone::{Phone, Tracks};

const LOOPBACK: &str = "127.0.0.1";

/// Ends when dropped; [`Line::close`] leaves nothing at the relay either.
pub struct Line<'l> {
    place: Place<'l>,
    callee: Phone,
    caller: Option<Phone>,
    connector: Connector,
    /// The connector's local port.
    port: Option<SocketAddr>,
    leg: Option<Leg>,
    switch: Switch,
}

/// The last change of legs.
#[derive(Debug, Clone)]
pub struct Switch {
    pub at: Instant,
    pub reason: String,
}

impl<'l> Line<'l> {
    /// What the phones say and hear is counted in `measure`.
    pub fn start(place: Place<'l>, measure: &Measure) -> Result<Self> {
        let tracks = Tracks {
            said: measure.to_caller.clone(),
            heard: measure.to_callee.clone(),
        };
        let callee = Phone::start(place.callee, place.callee_ip, None, tracks)?;
        let connector = Connector::start(&place, callee.address)?;
        Ok(Self {
            place,
            callee,
            caller: None,
            connector,
            port: None,
            leg: None,
            switch: Switch {
                at: Instant::now(),
                reason: String::new(),
            },
        })
    }

    /// Does what the connector's words ask for; what a person should know of them. An error if a part gave up.
    pub fn hear(&mut self, measure: &Measure) -> Result<Vec<String>> {
        let mut news = Vec::new();
        while let Some((at, event)) = self.connector.next() {
            match event {
                Event::Listening { udp } => self.port = udp.first().copied(),
                Event::TransportSelected { proto } => self.leg = Some(proto),
                Event::Ready { relayed } => {
                    news.push(format!("the caller is reachable at {relayed}"));
                    self.call(measure)?;
                }
                Event::TransportSwitched { to, reason } => {
                    self.leg = Some(to);
                    self.switch = Switch { at, reason };
                }
                Event::Reconnecting { reason } => {
                    self.leg = None;
                    news.push(format!("the connector begins anew: {reason}"));
                }
                Event::Other => {}
            }
        }
        self.connector.check()?;
        self.callee.check()?;
        self.caller.as_mut().map_or(Ok(()), Phone::check)?;
        Ok(news)
    }

    /// The caller does, once.
    fn call(&mut self, measure: &Measure) -> Result<()> {
        if self.caller.is_some() {
            return Ok(());
        }
        let port = self.port.context("ready before it listened")?;
        let tracks = Tracks {
            said: measure.to_callee.clone(),
            heard: measure.to_caller.clone(),
        };
        let namespace = &self.place.uplink.caller;
        let mut caller = Phone::start(namespace, LOOPBACK, Some(port), tracks)?;
        caller.camera_on(namespace)?;
        self.caller = Some(caller);
        Ok(())
    }

    /// The callee does, once.
    pub fn answer(&mut self) -> Result<()> {
        match self.callee.has_camera_on() {
            true => Ok(()),
            false => self.callee.camera_on(self.place.callee),
        }
    }

    pub fn leg(&self) -> Option<Leg> {
        self.leg
    }

    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Decoded so far: callee, caller.
    pub fn pictures(&self) -> [u64; 2] {
        let caller = self.caller.as_ref().map_or(0, Phone::pictures);
        [self.callee.pictures(), caller]
    }

    /// Nothing more is sent when this returns.
    pub fn cameras_off(&mut self) -> Result<()> {
        self.callee.camera_off()?;
        self.caller.as_mut().map_or(Ok(()), Phone::camera_off)
    }

    pub fn close(&mut self) -> Result<()> {
        self.connector.stop()
    }

    /// What the connector wrote for its operator.
    pub fn log(&self) -> String {
        self.connector.log()
    }
}
