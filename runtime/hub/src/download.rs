//! One file, from where it broke off, checked before it counts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use routir_core::{Error, ErrorCode};
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;

use crate::failure::Failure;
use crate::watch::{Beat, Bytes};

/// How much is read at once.
const PIECE: usize = 128 << 10;
/// What nobody hears any more.
const LEFT: &str = "it was given up";

/// A file on the hub and where it goes.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    /// How long connecting and the beginning of an answer may take.
    pub(crate) patience: Duration,
    pub(crate) size: u64,
    /// Its digest, where the hub says it.
    pub(crate) sha256: Option<String>,
    /// The file as far as it is here.
    pub(crate) part: PathBuf,
}

/// Fetches what is missing of the part, and checks the whole.
pub(crate) fn download(source: &Source, beat: &Beat) -> Result<(), Failure> {
    let part = OpenOptions::new()
        .read(true)
        .create(true)
        .append(true)
        .open(&source.part);
    let mut part = part.map_err(Failure::Unwritable)?;
    let has = part.metadata().map_err(Failure::Unwritable)?.len();
    if has > source.size {
        part.set_len(0).map_err(Failure::Unwritable)?;
    }
    if has != source.size {
        receive(source, &mut part, beat)?;
    }
    let has = part.metadata().map_err(Failure::Unwritable)?.len();
    if has != source.size {
        let why = format!("it broke off after {has} of {} bytes", source.size);
        return Err(Failure::Unreachable(why));
    }
    let Some(expected) = &source.sha256 else {
        return Ok(());
    };
    let found = digest(&mut part, source.size, beat)?;
    if found == *expected {
        return Ok(());
    }
    // Going on with it would lead to the same.
    part.set_len(0).map_err(Failure::Unwritable)?;
    Err(Failure::Refused(Error::new(
        ErrorCode::Unavailable,
        format!(
            "{} is not the file that the hub says it is (SHA-256 {found}, not {expected}); it was \
             thrown away: try again, or, where HF_ENDPOINT names a mirror, another one",
            source.address
        ),
    )))
}

/// Adds to the part what the hub sends, up to the file's size.
fn receive(source: &Source, part: &mut File, beat: &Beat) -> Result<(), Failure> {
    let agent: Agent = Agent::config_builder()
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_resolve(Some(source.patience))
        .timeout_connect(Some(source.patience))
        .timeout_recv_response(Some(source.patience))
        .user_agent(concat!("routir-rt/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut done = part.metadata().map_err(Failure::Unwritable)?.len();
    let mut request = agent
        .get(&source.address)
        .header("accept-encoding", "identity")
        .header("range", format!("bytes={done}-"));
    if let Some(token) = &source.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request.call()?;
    if answer.status().as_u16() != 206 {
        // All of it, whatever was asked for.
        part.set_len(0).map_err(Failure::Unwritable)?;
        done = 0;
    } else if !begins_at(answer.headers().get("content-range"), done) {
        let why = "it sent another piece of the file than was asked for".to_owned();
        return Err(Failure::Unreachable(why));
    }
    let mut body = answer.into_body().into_reader();
    let mut piece = vec![0; PIECE];
    while done < source.size {
        let got = match body.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => got,
            Err(why) => {
                let why = format!("it broke off after {done} of {} bytes: {why}", source.size);
                return Err(Failure::Unreachable(why));
            }
        };
        let bytes = Bytes {
            done: done + got as u64,
            total: source.size,
        };
        if !beat.is_heard(bytes) {
            return Err(Failure::Unreachable(LEFT.to_owned()));
        }
        let room = usize::try_from(source.size - done).unwrap_or(usize::MAX);
        let piece = piece.get(..got.min(room)).unwrap_or_default();
        part.write_all(piece).map_err(Failure::Unwritable)?;
        done += piece.len() as u64;
    }
    part.sync_all().map_err(Failure::Unwritable)
}

/// Whether a `Content-Range` begins at `done`.
fn begins_at(range: Option<&ureq::http::HeaderValue>, done: u64) -> bool {
    let text = range.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let start = text.trim_start_matches("bytes").trim_start();
    let start = start.split('-').next().unwrap_or_default();
    start.parse() == Ok(done)
}

fn digest(part: &mut File, total: u64, beat: &Beat) -> Result<String, Failure> {
    let mut sum = || -> io::Result<Option<String>> {
        part.seek(SeekFrom::Start(0))?;
        let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            match part.read(&mut piece)? {
                0 => break,
                got => hasher.update(piece.get(..got).unwrap_or_default()),
            }
            if !beat.is_heard(Bytes { done: total, total }) {
                return Ok(None);
            }
        }
        let digits = hasher.finalize();
        Ok(Some(digits.iter().map(|it| format!("{it:02x}")).collect()))
    };
    let found = sum().map_err(Failure::Unwritable)?;
    found.ok_or_else(|| Failure::Unreachable(LEFT.to_owned()))
}
