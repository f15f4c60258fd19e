//! A message of gRPC as it stands in a body.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

/// How much stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A message in its frame; `None` for one that no frame can hold.
pub(crate) fn framed(message: &impl Message) -> Option<Bytes> {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(PREFIX + length);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).ok()?);
    message.encode(&mut body).ok()?;
    Some(body.freeze())
}

/// The one message of a body, if it is one and not compressed.
pub(crate) fn message(body: &Bytes) -> Option<Bytes> {
    let (prefix, _) = body.split_at_checked(PREFIX)?;
    let (flag, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let rest = body.slice(PREFIX..);
    (*flag == 0 && rest.len() == usize::try_from(length).ok()?).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_and_whole() {
        let framed = |bytes: &'static [u8]| message(&Bytes::from_static(bytes));
        assert_eq!(framed(&[0, 0, 0, 0, 2, 7, 8]).unwrap(), [7, 8].as_slice());
        assert_eq!(framed(&[0, 0, 0, 0, 0]).unwrap(), [].as_slice());
        for wrong in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 1, 7],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 1, 7, 8],
            &[0, 255, 255, 255, 255],
        ] {
            assert_eq!(message(&Bytes::copy_from_slice(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_framed_is_read_again() {
        let text = "a text".to_owned();
        let body = framed(&text).unwrap();
        assert_eq!(String::decode(message(&body).unwrap()).unwrap(), text);
    }
}
