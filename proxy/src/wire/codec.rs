//! Whole messages over an asynchronous stream.
//!
//! For clients, benches and the test harness, which want messages one by one.
//! The proxy's own data path reads and writes sockets itself, so that large
//! messages can stream.

use std::io;

use bytes::BytesMut;
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use super::WireError;
use super::header::{Header, MAX_MESSAGE_LEN};

/// Cuts a stream into messages by their headers and writes messages as they
/// are. An end of the stream within a message is an error, between two it is
/// the end.
#[derive(Clone, Copy, Debug)]
pub struct MessageCodec {
    max_len: usize,
}

/// Why a stream of messages ended.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The stream itself failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A header that cannot be right; the stream is of no further use.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl MessageCodec {
    /// A codec that refuses messages of more than `max_len` bytes before it
    /// takes memory for them.
    pub fn new(max_len: usize) -> Self {
        MessageCodec { max_len }
    }
}

impl Default for MessageCodec {
    /// Takes what a server takes: [`MAX_MESSAGE_LEN`].
    fn default() -> Self {
        MessageCodec::new(MAX_MESSAGE_LEN)
    }
}

impl Decoder for MessageCodec {
    type Item = BytesMut;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<BytesMut>, CodecError> {
        let Some(header) = Header::decode(src, self.max_len)? else {
            return Ok(None);
        };
        let missing = header.length.saturating_sub(src.len());
        if missing > 0 {
            src.reserve(missing);
            return Ok(None);
        }
        Ok(Some(src.split_to(header.length)))
    }
}

impl<M: AsRef<[u8]>> Encoder<M> for MessageCodec {
    type Error = CodecError;

    fn encode(&mut self, message: M, dst: &mut BytesMut) -> Result<(), CodecError> {
        dst.extend_from_slice(message.as_ref());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reply;

    fn message(id: i32) -> Vec<u8> {
        reply::op_msg(id, 0, 0, &[5, 0, 0, 0, 0])
    }

    #[test]
    fn whole_messages_out_of_a_byte_at_a_time() {
        let mut codec = MessageCodec::default();
        let mut sent = BytesMut::new();
        codec.encode(message(1), &mut sent).unwrap();
        codec.encode(message(2).as_slice(), &mut sent).unwrap();

        let mut arrived = BytesMut::new();
        let mut messages = Vec::new();
        for byte in sent {
            arrived.extend_from_slice(&[byte]);
            messages.extend(codec.decode(&mut arrived).unwrap());
        }
        assert_eq!(messages, [message(1), message(2)]);
        assert!(codec.decode_eof(&mut arrived).unwrap().is_none());
    }

    #[test]
    fn two_messages_in_one_buffer() {
        let mut arrived = BytesMut::from([message(1), message(2)].concat().as_slice());
        let mut codec = MessageCodec::default();
        assert_eq!(codec.decode(&mut arrived).unwrap().unwrap(), message(1));
        assert_eq!(codec.decode(&mut arrived).unwrap().unwrap(), message(2));
        assert!(codec.decode(&mut arrived).unwrap().is_none());
    }

    #[test]
    fn too_long_is_refused_on_its_header_and_takes_no_memory() {
        let mut arrived = BytesMut::from(message(1).get(..16).unwrap());
        let capacity = arrived.capacity();
        let error = MessageCodec::new(25).decode(&mut arrived).unwrap_err();
        assert!(matches!(
            error,
            CodecError::Wire(WireError::MessageLength {
                length: 26,
                max: 25
            })
        ));
        assert_eq!(arrived.capacity(), capacity);
    }

    #[test]
    fn an_end_within_a_message_is_an_error() {
        let mut arrived = BytesMut::from(message(1).get(..20).unwrap());
        let error = MessageCodec::default()
            .decode_eof(&mut arrived)
            .unwrap_err();
        assert!(matches!(error, CodecError::Io(_)));
    }
}
