//! `explain`: the plan of a pipeline, without running it.

use crate::args::{Explain, PlanFormat};
use crate::wire::{self, Blueprint, Places};
use crate::{out, pipeline, reactor};

/// Shows how a pipeline would run.
pub(crate) fn run(args: Explain) -> anyhow::Result<()> {
    let reactor = reactor()?;
    let _within = reactor.enter();
    let blueprint = Blueprint::draw(wire::load(&args.config)?, Places::scratch()?)?;
    let runtime = blueprint.runtime()?;
    blueprint.ask_imports(&runtime);
    let collection = pipeline::collection(args.collection, &runtime.catalog());
    let plan = pipeline::plan(&runtime, &args.pipeline, collection.as_deref())?;
    let text = match args.format {
        PlanFormat::Text => plan.text,
        PlanFormat::Json => format!("{:#}\n", plan.json),
        PlanFormat::Mermaid => plan.mermaid,
    };
    Ok(out::print(&text)?)
}
