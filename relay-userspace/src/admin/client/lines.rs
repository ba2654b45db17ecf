//! An answer that comes line by line, for as long as the relay has something to say.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::{AskError, Client, refused};

/// No line of ours is as long.
const LONGEST: usize = 1 << 20;

pub struct Lines {
    body: Incoming,
    begun: Vec<u8>,
    connection: JoinHandle<Result<(), hyper::Error>>,
}

impl Client {
    /// The deadline is for the first line's head only.
    pub async fn lines(&self, path: &str) -> Result<Lines, AskError> {
        let asked = self.send(Method::GET, path, Bytes::new());
        let (answer, connection) = tokio::time::timeout(self.deadline, asked)
            .await
            .map_err(|_| AskError::Timeout(self.deadline))??;
        let status = answer.status();
        let mut lines = Lines {
            body: answer.into_body(),
            begun: Vec::new(),
            connection,
        };
        if status == StatusCode::OK {
            return Ok(lines);
        }
        while lines.more().await? {}
        Err(refused(status, &lines.begun))
    }
}

impl Lines {
    /// `None`: the relay has said all, or is gone.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, AskError> {
        match self.line().await? {
            Some(line) => Ok(Some(serde_json::from_slice(&line)?)),
            None => Ok(None),
        }
    }

    /// Without its end.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, AskError> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.begun.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> Result<bool, AskError> {
        let broken = |why: &str| AskError::Broken(why.into());
        match self.body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                self.begun.extend_from_slice(&data);
                match self.begun.len() > LONGEST + data.len() {
                    true => Err(broken("a line without end")),
                    false => Ok(true),
                }
            }
            // A relay that was killed breaks off in the middle.
            Some(Err(_)) | None => Ok(false),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
