//! `ext wrap`: a component of a core module.

use std::fs;

use anyhow::Context;

use super::args::Wrap;
use crate::failure::wrong;
use crate::out;

/// Writes the component that `args` asks for.
pub(super) fn run(args: &Wrap) -> anyhow::Result<()> {
    let shown = args.module.display();
    let module = fs::read(&args.module).with_context(|| format!("cannot read {shown}"))?;
    let component = routir_guests::componentize(&module, args.world.name())
        .map_err(|error| wrong(format!("{shown}: {error:#}")))?;
    let output = args.output.display();
    fs::write(&args.output, &component).with_context(|| format!("cannot write {output}"))?;
    Ok(out::print(&format!(
        "{output}: {} bytes\n",
        component.len()
    ))?)
}
