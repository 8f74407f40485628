//! What goes out on a watch. A change goes to every proxy, so it is encoded once, and each stream's message is that
//! behind the one field that differs: Protocol Buffers reads two encodings of a message, one after the other, as
//! one message (<https://protobuf.dev/programming-guides/encoding/#last-one-wins>).

use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{WatchConfigRequest, WatchConfigResponse};
use hotswap_rpc::WireError;
use prost::bytes::{BufMut, Bytes};
use prost::{EncodeError, Message as _};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

/// A stream lives long and says little: its buffers, in bytes, begin small, and grow where they must.
const BUFFER: usize = 512;
/// Bytes that are gathered before they are handed on.
const YIELD_AT: usize = 32 * 1024;

/// A message to a proxy.
pub(super) struct Frame {
    pub(super) nonce: u64,
    pub(super) body: Body,
}

/// All of a message but its nonce.
pub(super) enum Body {
    /// Encoded already.
    Shared(Bytes),
    /// For this stream alone.
    Own(Box<ToProxy>),
}

impl From<ToProxy> for Body {
    fn from(message: ToProxy) -> Self {
        Self::Own(Box::new(message))
    }
}

impl Frame {
    fn write(self, to: &mut impl BufMut) -> Result<(), EncodeError> {
        let (message, shared) = match self.body {
            Body::Own(message) => (Some(*message), Bytes::new()),
            Body::Shared(bytes) => (None, bytes),
        };
        WatchConfigResponse { nonce: self.nonce.to_string(), message }.encode(to)?;
        to.put_slice(&shared);
        Ok(())
    }
}

/// A message without a nonce, for [`Body::Shared`].
pub(super) fn encoded(message: ToProxy) -> Bytes {
    WatchConfigResponse { nonce: String::new(), message: Some(message) }.encode_to_vec().into()
}

/// Reads what proxies say, and writes frames.
pub(super) struct FrameCodec;

type Inner = ProstCodec<WatchConfigResponse, WatchConfigRequest>;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = WatchConfigRequest;
    type Encoder = FrameEncoder;
    type Decoder = <Inner as Codec>::Decoder;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        Inner::raw_decoder(buffers())
    }
}

pub(super) struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.write(to).map_err(|e| WireError::internal(&e).into())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER, YIELD_AT)
}

#[cfg(test)]
mod tests {
    use hotswap_api::gateway::v1::Delta;

    use super::*;

    #[test]
    fn what_is_encoded_for_all_reads_like_what_is_encoded_for_one() {
        let delta =
            || ToProxy::Delta(Delta { from: 6, removes: vec!["routes/a".to_owned()], ..Delta::default() });
        let read = |body| {
            let mut bytes = Vec::new();
            Frame { nonce: 12, body }.write(&mut bytes).expect("room");
            WatchConfigResponse::decode(bytes.as_slice()).expect("a message")
        };
        let message = read(Body::Shared(encoded(delta())));
        assert_eq!(message, WatchConfigResponse { nonce: "12".to_owned(), message: Some(delta()) });
        assert_eq!(message, read(delta().into()));
    }
}
