//! A connection that asks one thing at a time and does no more for it than it must: requests are
//! frames made beforehand, and of an answer the frames are walked, the length and `grpc-status`
//! checked, and the rest is skipped. What a general client does for a call would be a good part of
//! the work of the call, and on the same machine.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame: the length in three bytes, type, flags, stream.
const HEAD: usize = 9;
const STREAM_AT: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The peer may send so much before it must be told to go on, and is told at half of it.
const WINDOW: u32 = 1 << 30;
/// What each side lets the other send at first.
const FIRST_WINDOW: u32 = 65_535;
/// An answer is read in pieces of up to this size.
const PIECE: usize = 256 << 10;

/// A request as frames, but for the number of its stream.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    data_at: usize,
    /// How much of the peer's window it takes.
    length: i64,
}

impl Frames {
    /// `message` to the method at `path`.
    pub(crate) fn new(path: &str, authority: &str, message: &[u8]) -> Result<Self, Failure> {
        // POST and http stand in HPACK's table as such; the others are literals that enter no table.
        let mut head = vec![0x83, 0x86];
        let text = |text: &str, head: &mut Vec<u8>| {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            head.push(length.ok_or("a header is too long")?);
            head.extend_from_slice(text.as_bytes());
            Ok::<_, Failure>(())
        };
        for (name_in_table, value) in [(4, path), (1, authority)] {
            head.push(name_in_table);
            text(value, &mut head)?;
        }
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            head.push(0);
            text(name, &mut head)?;
            text(value, &mut head)?;
        }
        let mut body = vec![0];
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend_from_slice(message);
        let mut bytes = Vec::new();
        frame(HEADERS, END_HEADERS, 0, &head, &mut bytes)?;
        let data_at = bytes.len();
        frame(DATA, END_STREAM, 0, &body, &mut bytes)?;
        Ok(Self {
            bytes,
            data_at,
            length: i64::try_from(body.len())?,
        })
    }

    fn write(&self, stream: u32, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        for frame in [at, at + self.data_at] {
            let place = out.get_mut(frame + STREAM_AT..frame + HEAD);
            place
                .into_iter()
                .for_each(|place| place.copy_from_slice(&stream.to_be_bytes()));
        }
    }
}

/// A connection.
pub(crate) struct Line {
    socket: TcpStream,
    /// What came and was not looked at stands between `from` and `to`.
    came: Vec<u8>,
    from: usize,
    to: usize,
    /// What is sent with the next request.
    out: Vec<u8>,
    /// How much the peer lets us send.
    window: i64,
    /// How much came since the peer was last told to go on.
    taken: u32,
    stream: u32,
}

/// A frame that came: its type, flags, stream, and where its payload is.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    from: usize,
    to: usize,
}

impl Line {
    pub(crate) async fn open(authority: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        let mut out = PREFACE.to_vec();
        // No table of headers, so that each answer says its status in full; no push; large windows.
        let settings = [(1_u16, 0), (2, 0), (4, WINDOW)];
        let settings = settings.map(|(name, value)| {
            let mut setting = name.to_be_bytes().to_vec();
            setting.extend(value.to_be_bytes());
            setting
        });
        frame(SETTINGS, 0, 0, &settings.concat(), &mut out)?;
        frame(
            WINDOW_UPDATE,
            0,
            0,
            &(WINDOW - FIRST_WINDOW).to_be_bytes(),
            &mut out,
        )?;
        Ok(Self {
            socket,
            came: vec![0; 2 * PIECE],
            from: 0,
            to: 0,
            out,
            window: i64::from(FIRST_WINDOW),
            taken: 0,
            stream: 1,
        })
    }

    /// Sends a request and takes in its answer, of which `look` sees the body, piece by piece; its
    /// length.
    pub(crate) async fn ask(
        &mut self,
        request: &Frames,
        mut look: impl FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        while self.window < request.length {
            self.send().await?;
            let frame = self.next().await?;
            self.housekeeping(&frame)?;
        }
        let stream = self.stream;
        self.stream += 2;
        self.window -= request.length;
        request.write(stream, &mut self.out);
        self.send().await?;
        let mut length = 0;
        loop {
            let frame = self.next().await?;
            if frame.stream != stream {
                self.housekeeping(&frame)?;
                continue;
            }
            let payload = self.came.get(frame.from..frame.to).unwrap_or_default();
            let ends = frame.flags & END_STREAM != 0;
            match frame.kind {
                DATA if frame.flags & PADDED == 0 => {
                    length += payload.len();
                    look(payload);
                    self.taken += u32::try_from(payload.len())?;
                    if self.taken > WINDOW / 2 {
                        let taken = std::mem::take(&mut self.taken);
                        frame_of_window(taken, &mut self.out)?;
                    }
                    if ends {
                        return Err("an answer ends without a status".into());
                    }
                }
                HEADERS if frame.flags & END_HEADERS == 0 => {
                    return Err("an answer's head is in several frames".into());
                }
                HEADERS if ends && is_ok(payload) => return Ok(length),
                HEADERS if ends => {
                    let shown = String::from_utf8_lossy(payload).into_owned();
                    return Err(format!("a call failed: {shown}").into());
                }
                HEADERS | WINDOW_UPDATE => {}
                RST_STREAM => return Err("a call was broken off".into()),
                other => return Err(format!("a frame of type {other} came in an answer").into()),
            }
        }
    }

    /// What concerns the connection as a whole.
    fn housekeeping(&mut self, frame: &Frame) -> Result<(), Failure> {
        let payload = self.came.get(frame.from..frame.to).unwrap_or_default();
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => self::frame(SETTINGS, ACK, 0, &[], &mut self.out),
            PING if frame.flags & ACK == 0 => self::frame(PING, ACK, 0, payload, &mut self.out),
            WINDOW_UPDATE if frame.stream == 0 => {
                let more = payload
                    .first_chunk()
                    .ok_or("a window's update is too short")?;
                self.window += i64::from(u32::from_be_bytes(*more));
                Ok(())
            }
            GOAWAY => Err("the server ends the connection".into()),
            _ => Ok(()),
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    async fn next(&mut self) -> Result<Frame, Failure> {
        loop {
            let there = self.came.get(self.from..self.to).unwrap_or_default();
            if let Some([a, b, c, kind, flags, stream @ ..]) = there.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if there.len() >= HEAD + length {
                    let from = self.from + HEAD;
                    self.from = from + length;
                    return Ok(Frame {
                        kind: *kind,
                        flags: *flags,
                        stream: u32::from_be_bytes(*stream) & (u32::MAX >> 1),
                        from,
                        to: from + length,
                    });
                }
            }
            if self.from == self.to {
                (self.from, self.to) = (0, 0);
            } else if self.to > PIECE {
                self.came.copy_within(self.from..self.to, 0);
                (self.from, self.to) = (0, self.to - self.from);
            }
            let free = self.came.get_mut(self.to..).unwrap_or_default();
            match self.socket.read(free).await? {
                0 => return Err("the server closed the connection".into()),
                count => self.to += count,
            }
        }
    }
}

fn frame_of_window(more: u32, out: &mut Vec<u8>) -> Result<(), Failure> {
    frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes(), out)
}

fn frame(
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let length = u32::try_from(payload.len())?.to_be_bytes();
    out.extend(length.get(1..).unwrap_or_default());
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// Whether trailers hold `grpc-status: 0`. Their peer was told to keep no table, so it stands there
/// in full, in either of HPACK's two ways to write texts.
fn is_ok(trailers: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [
        b"\x0bgrpc-status",
        &[0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f],
    ];
    const ZEROES: [&[u8]; 2] = [b"\x010", &[0x81, 0x07]];
    NAMES.iter().any(|name| {
        let mut places = trailers.windows(name.len()).enumerate();
        let found = places.find(|(_, window)| window == name);
        let value = found.and_then(|(at, _)| trailers.get(at + name.len()..));
        value.is_some_and(|value| ZEROES.iter().any(|zero| value.starts_with(zero)))
    })
}
