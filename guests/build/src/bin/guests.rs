//! Builds the example guests: `cargo run -p routir-guests -- build [NAME…] [--require LANG,…]`.
//!
//! `wrap` is what `routir-rt ext wrap` does, for where that is not built yet.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use routir_guests::{Guest, Lang, Made, Workshop, componentize, guests};

const USAGE: &str = "usage: guests build [NAME…] [--require LANG,…|all]
       guests wrap CORE.WASM --world WORLD --output FILE

Builds the example guests, or those named, into target/guests/NAME.wasm. A guest whose tools are
not here is skipped, and that is no failure unless its language is required.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "guests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all that was asked for could be done.
fn run(arguments: &[String]) -> Result<bool> {
    match arguments {
        [command, rest @ ..] if command == "build" => build(rest),
        [wrap, core, world_flag, world, output_flag, output]
            if wrap == "wrap" && world_flag == "--world" && output_flag == "--output" =>
        {
            let module = fs::read(core).with_context(|| format!("cannot read {core}"))?;
            fs::write(output, componentize(&module, world)?)
                .with_context(|| format!("cannot write {output}"))?;
            Ok(true)
        }
        _ => bail!("{USAGE}"),
    }
}

fn build(arguments: &[String]) -> Result<bool> {
    let (wanted, required) = read(arguments)?;
    let workshop = Workshop::here();
    let mut out = io::stdout().lock();
    let mut good = true;
    for guest in wanted {
        let name = guest.name;
        match workshop.make(guest) {
            Ok(made) => {
                let line = told(&made)?;
                writeln!(out, "{name:18} {line}")?;
                good &= made.component().is_some() || !required.contains(&guest.lang);
            }
            Err(error) => {
                writeln!(out, "{name:18} FAILED: {error:#}")?;
                good = false;
            }
        }
    }
    Ok(good)
}

fn told(made: &Made) -> Result<String> {
    Ok(match made {
        Made::Built(path, time) => {
            let size = path.metadata().context("the component has gone")?.len();
            format!("built in {:.1} s, {} KB", time.as_secs_f64(), size / 1000)
        }
        Made::UpToDate(_) => "up to date".to_owned(),
        Made::Skipped { missing, install } => {
            format!("SKIPPED: {missing} is missing; run: {install}")
        }
    })
}

fn read(arguments: &[String]) -> Result<(Vec<Guest>, Vec<Lang>)> {
    let mut wanted = Vec::new();
    let mut required = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--require" {
            let names = rest.next().with_context(|| USAGE)?;
            for name in names.split(',') {
                match Lang::by_name(name) {
                    Some(lang) => required.push(lang),
                    None if name == "all" => required.extend(Lang::ALL),
                    None => bail!("no such language: {name}"),
                }
            }
        } else {
            let guest = Guest::by_name(argument);
            wanted.push(guest.with_context(|| format!("no such guest: {argument}"))?);
        }
    }
    if wanted.is_empty() {
        wanted.extend(guests());
    }
    Ok((wanted, required))
}
