//! `devices`: which GPUs there are, and what would run on them.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use routir_device::{DeviceChoice, Devices, Nvrtc, Placement};
use serde_json::{Value, json};

use crate::out;

/// What can run on a GPU.
const USES: [&str; 3] = ["exact search", "compressed search", "late interaction"];

/// How devices are shown.
#[derive(Debug, Args)]
#[command(
    after_help = "A machine without a GPU is no error. CUDA_VISIBLE_DEVICES says which are visible; \
    `cuda:N` counts those."
)]
pub(crate) struct Show {
    /// How they are shown.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A table.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// Looks, and tells.
pub(crate) fn run(args: &Show) -> anyhow::Result<()> {
    let devices = Devices::discover();
    let compiler = Nvrtc::load();
    let auto = DeviceChoice::Auto.place(&devices)?;
    // Without the compiler there are no kernels.
    let auto = match (&auto, &compiler) {
        (Placement::Cuda(_), Err(error)) => Placement::Cpu(Some(error.message().to_owned())),
        _ => auto,
    };
    let text = match args.format {
        Format::Text => table(&devices, compiler.as_ref().ok(), &auto),
        Format::Json => {
            let found = compiler.as_ref().map(Nvrtc::version).ok();
            let value = as_json(&devices, found, &auto)?;
            format!("{value:#}\n")
        }
    };
    Ok(out::print(&text)?)
}

fn place(auto: &Placement) -> String {
    match auto {
        Placement::Cpu(_) => "cpu".to_owned(),
        Placement::Cuda(number) => format!("cuda:{number}"),
    }
}

fn table(devices: &Devices, compiler: Option<&Nvrtc>, auto: &Placement) -> String {
    let mut text = String::new();
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    for it in &devices.devices {
        let (major, minor) = it.compute_capability;
        let _ = writeln!(
            text,
            "cuda:{:<14} {}, {:.1} GiB of which {:.1} free, compute capability {major}.{minor}, {} \
             multiprocessors",
            it.number,
            it.name,
            gib(it.total_bytes),
            gib(it.free_bytes),
            it.processors
        );
    }
    for it in &devices.failed {
        let _ = writeln!(text, "cuda:{:<14} cannot be used: {}", it.number, it.why);
    }
    if let Some(why) = &devices.absent {
        let _ = writeln!(text, "GPUs                none: {why}");
    }
    let driver = match &devices.driver {
        Some(driver) => format!("CUDA {}", driver.cuda),
        None => "none".to_owned(),
    };
    let compiler = compiler.map_or_else(
        || "none; kernels cannot be compiled".to_owned(),
        |it| format!("NVRTC {}", it.version()),
    );
    let _ = writeln!(text, "driver              {driver}");
    let _ = writeln!(text, "compiler            {compiler}");
    let _ = writeln!(text, "with `auto`");
    for what in USES {
        let _ = writeln!(text, "  {what:<17} {}", place(auto));
    }
    text
}

fn as_json(devices: &Devices, compiler: Option<&str>, auto: &Placement) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(devices)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("nvrtc".to_owned(), json!(compiler));
        let uses = USES
            .iter()
            .map(|what| (what.replace(' ', "_"), json!(place(auto))));
        fields.insert("auto".to_owned(), Value::Object(uses.collect()));
        let why = match auto {
            Placement::Cpu(why) => why.clone(),
            Placement::Cuda(_) => None,
        };
        fields.insert("auto_is_cpu_because".to_owned(), json!(why));
    }
    Ok(value)
}
