//! Measures an encoder and the way from a query's text to its ranking, on a GPU or the processor, after
//! comparing the rankings with the processor's. `tests/gpu/run.sh` runs it.
//!
//!     pipeline --model DIR [--file GRAPH] [--device cuda] [--onnxruntime FILE] [--vectors N]
//!         [--seconds S] [--verify-only] [--json FILE]
//!
//! Adds its rows to those that are in FILE.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod measure;
mod place;

use std::path::Path;
use std::process::ExitCode;

use routir_core::{Error, Result};
use serde_json::{Value, json};

use measure::Row;
use place::Place;

/// What the command line says.
struct Arguments {
    model: String,
    file: Option<String>,
    device: String,
    onnxruntime: Option<String>,
    vectors: usize,
    seconds: f64,
    verify_only: bool,
    json: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        model: String::new(),
        file: None,
        device: "cuda".to_owned(),
        onnxruntime: None,
        vectors: 1_000_000,
        seconds: 5.0,
        verify_only: false,
        json: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--verify-only" {
            arguments.verify_only = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| Error::invalid(format!("`{word}` needs a value")))?;
        let number = || {
            let parsed = value.parse::<f64>();
            parsed.map_err(|_| Error::invalid(format!("`{word}` takes a number")))
        };
        match word.as_str() {
            "--model" => arguments.model = value,
            "--file" => arguments.file = Some(value),
            "--device" => arguments.device = value,
            "--onnxruntime" => arguments.onnxruntime = Some(value),
            "--vectors" => arguments.vectors = number()? as usize,
            "--seconds" => arguments.seconds = number()?,
            "--json" => arguments.json = Some(value),
            other => return Err(Error::invalid(format!("`{other}` is no flag"))),
        }
    }
    if arguments.model.is_empty() {
        return Err(Error::invalid("`--model` names the folder of an encoder"));
    }
    Ok(arguments)
}

fn run() -> Result<()> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build();
    let runtime = runtime.map_err(|why| Error::internal(format!("no runtime: {why}")))?;
    let mut place = Place::new(arguments.onnxruntime.as_deref().map(Path::new))?;
    place.index(
        &arguments.model,
        arguments.file.as_deref(),
        arguments.vectors,
    )?;
    let gpu = arguments.device != "cpu";
    let mut rows = Vec::new();
    let here = place.service("cpu", false)?;
    for cuda_graphs in [false, true] {
        if cuda_graphs && !gpu {
            continue;
        }
        let service = place.service(&arguments.device, cuda_graphs)?;
        runtime.block_on(measure::verify(&service, &here))?;
        println!("rankings on {} equal the processor's", service.name());
        if !arguments.verify_only {
            rows.extend(runtime.block_on(measure::all(&service, arguments.seconds))?);
        }
    }
    table(&rows);
    match arguments.json {
        Some(file) if !rows.is_empty() => add(&file, &rows),
        _ => Ok(()),
    }
}

fn table(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "{:<48} {:>12} {:>11} {:>9} {:>9}",
        "", "tokens/s", "queries/s", "p50 ms", "p99 ms"
    );
    for row in rows {
        let shown = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => String::new(),
        };
        println!(
            "{:<48} {:>12} {:>11} {:>9} {:>9}",
            row.what,
            shown(row.tokens_per_second, 0),
            shown(row.queries_per_second, 1),
            shown(row.p50_ms, 2),
            shown(row.p99_ms, 2)
        );
    }
}

/// Adds rows to those of a file, which other measurements began.
fn add(file: &str, rows: &[Row]) -> Result<()> {
    let told = |why: &dyn std::fmt::Display| Error::internal(format!("`{file}`: {why}"));
    let mut all: Value = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|why| told(&why))?,
        Err(_) => json!({"rows": []}),
    };
    let made = rows.iter().map(Row::as_json);
    match all.get_mut("rows").and_then(Value::as_array_mut) {
        Some(there) => there.extend(made),
        None => return Err(told(&"it has no rows")),
    }
    std::fs::write(file, format!("{all:#}\n")).map_err(|why| told(&why))
}
