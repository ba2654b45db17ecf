//! One request sent to one origin, once, and what it means when no answer comes.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::client::legacy;
use tokio::time::{Instant, sleep_until};

use crate::web::body::{Fate, Lent};
use crate::web::fault::Fault;
use crate::web::table::{OriginClient, Route};

pub struct Attempt<'a> {
    pub route: &'a Arc<Route>,
    pub client: &'a OriginClient,
    pub body: &'a Lent,
    pub fate: &'a Fate,
}

impl Attempt<'_> {
    pub async fn send(&self, parts: Parts) -> Result<Response<Incoming>, Fault> {
        let request = Request::from_parts(parts, self.body.clone());
        let mut asking = pin!(self.client.request(request));
        let patience = self.route.config.response_timeout;
        let mut deadline = Instant::now() + patience + self.route.config.connect_timeout;
        loop {
            tokio::select! {
                answer = asking.as_mut() => return answer.map_err(|error| self.fault(&error)),
                () = sleep_until(deadline) => {}
            }
            // A slow upload is no slow origin, and has a patience of its own.
            let moved = self.fate.moved().map(|moved| moved + patience);
            deadline = match moved.filter(|later| *later > deadline) {
                Some(later) => later,
                None if self.fate.waiting() => Instant::now() + patience,
                None => return Err(Fault::Timeout),
            };
        }
    }

    fn fault(&self, error: &legacy::Error) -> Fault {
        if let Some(fault) = self.fate.fault() {
            return fault;
        }
        let late = causes(error).any(|cause| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
        });
        let nonsense = causes(error).any(|cause| {
            let http = cause.downcast_ref::<hyper::Error>();
            http.is_some_and(hyper::Error::is_parse)
        });
        match (error.is_connect(), late) {
            (true, true) => Fault::ConnectTimeout,
            (true, false) => Fault::Unreachable,
            (false, _) if nonsense => Fault::BadAnswer,
            (false, _) => Fault::Reset,
        }
    }
}

fn causes<'a>(error: &'a legacy::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&'a (dyn Error + 'static)| {
        (*cause).source()
    })
}
