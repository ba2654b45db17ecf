//! One request for a route, from its head to its last byte: counted, and told in the access log. The query is told to
//! nobody: it may hold a token.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use hyper::{Method, StatusCode, Uri};

use super::body::Fate;
use super::connection::Busy;
use super::counts::Counts;
use super::fault::Fault;
use crate::net::stream::gate::Place;
use crate::turn::Flood;

/// Where requests are counted and told.
#[derive(Debug)]
pub struct Book {
    pub counts: Arc<Counts>,
    /// `None`: nothing is logged.
    pub log: Option<Flood>,
}

/// Told when dropped.
pub struct Record {
    book: Arc<Book>,
    began: Instant,
    client: IpAddr,
    method: Method,
    uri: Uri,
    host: String,
    origin: Option<Arc<str>>,
    status: StatusCode,
    fault: Option<Fault>,
    sent: u64,
    upload: Option<Arc<Fate>>,
    /// Until then its connection is busy, and its route's place taken.
    pub holds: (Option<Busy>, Option<Place>),
}

impl Record {
    pub fn new(book: &Arc<Book>, client: IpAddr, method: Method, uri: Uri) -> Record {
        book.counts.under_way.fetch_add(1, Relaxed);
        Record {
            book: Arc::clone(book),
            began: Instant::now(),
            client,
            method,
            uri,
            host: String::new(),
            origin: None,
            status: StatusCode::OK,
            fault: None,
            sent: 0,
            upload: None,
            holds: (None, None),
        }
    }

    pub fn client(&self) -> IpAddr {
        self.client
    }

    pub fn counts(&self) -> &Arc<Counts> {
        &self.book.counts
    }

    pub fn of_host(&mut self, host: &str) {
        host.clone_into(&mut self.host);
    }

    pub fn uploads(&mut self, fate: &Arc<Fate>) {
        self.upload = Some(Arc::clone(fate));
    }

    pub fn answered_by(&mut self, origin: &Arc<str>, status: StatusCode) {
        self.origin = Some(Arc::clone(origin));
        self.status = status;
    }

    pub fn refused(&mut self, fault: Fault) {
        self.status = fault.status();
        self.fault = Some(fault);
    }

    /// After the head of the answer.
    pub fn broke_off(&mut self, fault: Fault) {
        self.fault = Some(fault);
        if let (Fault::Unread, Some(busy)) = (fault, &self.holds.0) {
            busy.not_read();
        }
    }

    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let counts = &self.book.counts;
        counts.under_way.fetch_sub(1, Relaxed);
        counts.answered(self.status.as_u16());
        counts.to_client_bytes.fetch_add(self.sent, Relaxed);
        let received = self.upload.as_ref().map_or(0, |fate| fate.bytes());
        counts.to_origin_bytes.fetch_add(received, Relaxed);
        if let Some(fault) = self.fault {
            counts.failed(fault);
        }
        let Some(log) = &self.book.log else { return };
        if !log.admit((), Instant::now()) {
            counts.unlogged.fetch_add(1, Relaxed);
            return;
        }
        tracing::info!(
            target: "relay_userspace::access",
            client = %self.client,
            method = %self.method,
            host = self.host,
            path = self.uri.path(),
            status = self.status.as_u16(),
            origin = self.origin.as_deref(),
            fault = self.fault.map(Fault::code),
            received,
            sent = self.sent,
            ms = self.began.elapsed().as_millis() as u64,
            "request"
        );
    }
}
