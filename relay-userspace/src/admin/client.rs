//! One request to a running relay over its admin socket, with a deadline. Used by the command line and by tests.

mod lines;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::Fault;

/// A list of 100 000 sessions is about 60 MB of JSON.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no relay answers at {}: start one with `relay serve`, name its socket with --admin-socket, or be the user that runs it", .socket.display())]
    NotRunning { socket: PathBuf, source: io::Error },
    #[error("{} may not be opened: run this as root or as the user the relay runs as", .socket.display())]
    NotAllowed { socket: PathBuf },
    #[error("{} is answered by user {uid}, not by a relay of yours: start one with `relay serve`, or name a socket you trust with --admin-socket", .socket.display())]
    Stranger { socket: PathBuf, uid: u32 },
    #[error("the relay did not answer within {}s: see its log", .0.as_secs())]
    Timeout(Duration),
    #[error("{0}")]
    NotFound(String),
    #[error("{error}")]
    Refused { status: u16, error: String },
    #[error("the relay broke off its answer: see its log")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is not understood: `relay` and the running relay differ in version")]
    NotUnderstood(#[from] serde_json::Error),
}

type Connection = tokio::task::JoinHandle<Result<(), hyper::Error>>;

#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
    trusted: Option<u32>,
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            deadline: Duration::from_secs(10),
            trusted: None,
        }
    }

    /// Asks only a relay of this user or of root, for sockets where anyone may have been first.
    pub fn trusting(self, uid: u32) -> Self {
        Self {
            trusted: Some(uid),
            ..self
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        let body = self.ask(Method::GET, path, Bytes::new()).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        let body = self
            .ask(Method::POST, path, serde_json::to_vec(body)?.into())
            .await?;
        Ok(serde_json::from_slice(&body)?)
    }

    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        let body = self
            .ask(Method::PUT, path, serde_json::to_vec(body)?.into())
            .await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Deletes what has nothing to say.
    pub async fn remove(&self, path: &str) -> Result<(), AskError> {
        self.ask(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        let body = self.ask(Method::DELETE, path, Bytes::new()).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, AskError> {
        let asked = tokio::time::timeout(self.deadline, self.exchange(method, path, body));
        let (status, body) = asked
            .await
            .map_err(|_| AskError::Timeout(self.deadline))??;
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(status, &body))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let (answer, connection) = self.send(method, path, body).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await;
        connection.abort();
        Ok((status, body.map_err(AskError::Broken)?.to_bytes()))
    }

    /// Its answer's head, and the task that receives the rest.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Connection), AskError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => AskError::NotAllowed { socket },
                _ => AskError::NotRunning { socket, source },
            }
        })?;
        self.judge_answerer(&stream)?;
        let broken = |error: hyper::Error| AskError::Broken(error.into());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "relay")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| AskError::Broken(error.into()))?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok((answer, connection))
    }

    fn judge_answerer(&self, stream: &UnixStream) -> Result<(), AskError> {
        let Some(trusted) = self.trusted else {
            return Ok(());
        };
        let socket = self.socket.clone();
        match stream.peer_cred() {
            Ok(answerer) if [trusted, 0].contains(&answerer.uid()) => Ok(()),
            Ok(answerer) => Err(AskError::Stranger {
                socket,
                uid: answerer.uid(),
            }),
            Err(source) => Err(AskError::NotRunning { socket, source }),
        }
    }
}

fn refused(status: StatusCode, body: &[u8]) -> AskError {
    let error = match serde_json::from_slice::<Fault>(body) {
        Ok(fault) => fault.error,
        Err(_) => format!("answered {status}"),
    };
    match status {
        StatusCode::NOT_FOUND => AskError::NotFound(error),
        _ => AskError::Refused {
            status: status.as_u16(),
            error,
        },
    }
}
