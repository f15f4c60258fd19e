//! How messages are read and written: requests by prost, answers by themselves, so that a ranking
//! goes to the wire without a copy of its documents' names.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::BufMut;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// Messages are small or know how large they are, so no buffer is made before that is known.
const BUFFER: usize = 0;
/// From here on what is written of a stream is handed over.
const HAND_OVER: usize = 32 << 10;

/// An answer that writes itself.
pub(crate) trait Written: Send + 'static {
    /// How many bytes it takes.
    fn length(&self) -> usize;

    /// Writes that many.
    fn write(&self, out: &mut impl BufMut);
}

impl<M: Message + 'static> Written for M {
    fn length(&self) -> usize {
        self.encoded_len()
    }

    fn write(&self, out: &mut impl BufMut) {
        self.encode_raw(out);
    }
}

/// The codec of a method that is asked with `M` and answers with `A`.
pub(crate) struct Wire<A, M>(PhantomData<fn() -> (A, M)>);

impl<A, M> Default for Wire<A, M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A, M> Codec for Wire<A, M>
where
    A: Written,
    M: Message + Default + 'static,
{
    type Encode = A;
    type Decode = M;
    type Encoder = Writer<A>;
    type Decoder = ProstDecoder<M>;

    fn encoder(&mut self) -> Writer<A> {
        Writer(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<M> {
        ProstDecoder::new(settings())
    }
}

/// Writes answers.
pub(crate) struct Writer<A>(PhantomData<fn() -> A>);

impl<A: Written> Encoder for Writer<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(answer.length());
        answer.write(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER, HAND_OVER)
}
