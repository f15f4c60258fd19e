//! Verifies every kernel on the GPU at hand against the processor, and measures what they reach.
//! `tests/gpu/run.sh` runs it.
//!
//!     gpu [--json FILE] [--vectors N] [--verify-only | --small-only | --name]

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod hard;
mod measure;
mod soak;
mod verify;

use std::process::ExitCode;

use routir_core::{Error, Result};
use routir_device::Devices;

/// What says that there is nothing to do here.
const NOTHING: u8 = 69;
/// Batches that must leave nothing behind.
const BATCHES: usize = 10_000;
/// What is in the name of a device of `emulator/driver`, which computes on the processor.
const STAND_IN: &str = "stand-in";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let (mut json, mut vectors, mut measured, mut small) = (None, 10_000_000, true, false);
    let mut named = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = words.next(),
            "--vectors" => {
                let number = words.next().and_then(|it| it.parse().ok());
                vectors = number.ok_or_else(|| Error::invalid("--vectors takes a number"))?;
            }
            "--verify-only" => measured = false,
            // For a sanitizer, under which everything takes long.
            "--small-only" => small = true,
            "--name" => named = true,
            other => return Err(Error::invalid(format!("`{other}` is no flag"))),
        }
    }
    let devices = Devices::discover();
    let Some(info) = devices.devices.first() else {
        let why = devices.absent.unwrap_or_default();
        eprintln!("gpu: SKIPPED: {why}");
        return Ok(ExitCode::from(NOTHING));
    };
    if named {
        println!("{}", info.name);
        return Ok(ExitCode::SUCCESS);
    }
    let driver = devices.driver.as_ref().map_or("", |it| &it.cuda);
    println!("{}, driver for CUDA {driver}", info.name);
    let stands_in = info.name.contains(STAND_IN);
    if stands_in && measured && !small {
        return Err(Error::invalid(format!(
            "`{}` is no GPU, and nothing is measured on it; give --verify-only",
            info.name
        )));
    }
    let device = devices.open(info.number, None)?;
    let mut right = true;
    // What differs is told, and the rest is done nevertheless, unless the device is lost.
    let mut note = |what: &str, outcome: Result<()>| {
        match outcome {
            Ok(()) => println!("{what}"),
            Err(error) => {
                right = false;
                println!("WRONG: {error}");
            }
        }
        device.health()
    };
    note(
        "ties, zeros, empty texts and what is no number: as on the processor",
        hard::all(&device),
    )?;
    let (size, batches, sizes) = match stands_in {
        true => (verify::Size::Small, BATCHES / 10, (8, 60, 12)),
        false => (verify::Size::Whole, BATCHES, (64, 600, 40)),
    };
    if !small {
        let what = "every kernel equals the processor's";
        note(what, verify::all(&device, size))?;
        let what = format!("{batches} batches left nothing behind");
        note(&what, soak::all(&device, batches, sizes))?;
    }
    if stands_in {
        println!("on a stand-in: none of this was on a GPU");
    }
    if measured && !small {
        let rows = measure::all(&device, info, vectors)?;
        if let Some(file) = json {
            let written = std::fs::write(&file, measure::as_json(info, driver, &rows));
            written.map_err(|error| Error::internal(format!("writing `{file}`: {error}")))?;
        }
    }
    device.health()?;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
