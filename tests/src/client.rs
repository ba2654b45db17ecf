//! A small blocking TURN client, for traffic whose every byte the lab wants to choose. Interop is proven with others'.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, LongTermKeyCredentials, Message, MessageClass,
    MessageWrite, MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::AttributeWrite;
use turn_types::attribute::{
    ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use crate::packet::channel_data;

/// One allocation and the socket it belongs to.
pub struct TurnClient {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub relayed: SocketAddr,
    credentials: LongTermKeyCredentials,
    nonce: String,
}

/// An attribute that may need the transaction id.
type Attribute<'a> = Box<dyn Fn(TransactionId) -> Box<dyn AttributeWrite> + 'a>;

impl TurnClient {
    /// Allocates over UDP from `socket`.
    pub fn allocate(
        socket: UdpSocket,
        server: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let credentials =
            LongTermCredentials::new(user.into(), password.into()).to_key(String::new());
        let nobody = "0.0.0.0:0".parse()?;
        let mut client = Self {
            socket,
            server,
            relayed: nobody,
            credentials,
            nonce: String::new(),
        };
        let transport: Attribute =
            Box::new(|_| Box::new(RequestedTransport::new(RequestedTransport::UDP)));
        let challenge = client.exchange(ALLOCATE, &[&transport], false)?;
        let challenge = Message::from_bytes(&challenge)?;
        let realm = challenge
            .attribute::<Realm>()
            .context("REALM in the challenge")?
            .realm()
            .to_owned();
        client.nonce = challenge
            .attribute::<Nonce>()
            .context("NONCE in the challenge")?
            .nonce()
            .to_owned();
        client.credentials = LongTermCredentials::new(user.into(), password.into()).to_key(realm);
        let answer = client.request(ALLOCATE, &[&transport])?;
        let answer = Message::from_bytes(&answer)?;
        client.relayed = answer
            .attribute::<XorRelayedAddress>()
            .context("relayed address")?
            .addr(answer.transaction_id());
        answer
            .attribute::<XorMappedAddress>()
            .context("mapped address")?;
        Ok(client)
    }

    /// Binds `channel` to `peer`.
    pub fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<()> {
        let number: Attribute = Box::new(move |_| Box::new(ChannelNumber::new(channel)));
        let peer: Attribute = Box::new(move |id| Box::new(XorPeerAddress::new(peer, id)));
        self.request(CHANNEL_BIND, &[&number, &peer]).map(drop)
    }

    /// Permits `peer`'s address.
    pub fn permit(&mut self, peer: SocketAddr) -> Result<()> {
        let peer: Attribute = Box::new(move |id| Box::new(XorPeerAddress::new(peer, id)));
        self.request(CREATE_PERMISSION, &[&peer]).map(drop)
    }

    /// Asks for `seconds` more; 0 ends the allocation.
    pub fn refresh(&mut self, seconds: u32) -> Result<()> {
        let lifetime: Attribute = Box::new(move |_| Box::new(Lifetime::new(seconds)));
        self.request(REFRESH, &[&lifetime]).map(drop)
    }

    /// Sends ChannelData.
    pub fn send(&self, channel: u16, data: &[u8]) -> Result<()> {
        self.socket
            .send_to(&channel_data(channel, data, 0), self.server)?;
        Ok(())
    }

    fn request(&mut self, method: Method, attributes: &[&Attribute]) -> Result<Vec<u8>> {
        let bytes = self.exchange(method, attributes, true)?;
        let message = Message::from_bytes(&bytes)?;
        if message.has_class(MessageClass::Error) {
            let error = message.attribute::<ErrorCode>()?;
            bail!("{method:?} refused: {} {}", error.code(), error.reason());
        }
        message
            .validate_integrity(&self.credentials.clone().into())
            .context("integrity of the answer")?;
        Ok(bytes)
    }

    /// Sends and waits for the answer of this transaction, retransmitting as RFC 8489 says, if sooner.
    fn exchange(&self, method: Method, attributes: &[&Attribute], signed: bool) -> Result<Vec<u8>> {
        let mut message = Message::builder_request(method, MessageWriteVec::new());
        let id = message.transaction_id();
        for attribute in attributes {
            message.add_attribute(&*attribute(id))?;
        }
        if signed {
            message.add_attribute(&Username::new(self.credentials.username())?)?;
            message.add_attribute(&Realm::new(self.credentials.realm())?)?;
            message.add_attribute(&Nonce::new(&self.nonce)?)?;
            message.add_message_integrity(
                &self.credentials.clone().into(),
                IntegrityAlgorithm::Sha1,
            )?;
        }
        let request = message.finish();
        let mut buffer = vec![0; 2048];
        for _ in 0..7 {
            self.socket.send_to(&request, self.server)?;
            while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                let answer = Message::from_bytes(&buffer[..length]);
                if from == self.server
                    && answer.is_ok_and(|a| a.is_response() && a.transaction_id() == id)
                {
                    buffer.truncate(length);
                    return Ok(buffer);
                }
            }
        }
        bail!("no answer to {method:?} from {}", self.server)
    }
}
