//! `check` and `schema`: what is wrong with a configuration, and what one looks like.

use std::fmt::Write as _;

use routir_config::ConfigError;
use routir_core::Role;
use serde_json::json;

use crate::args::{Check, CheckFormat};
use crate::failure::Wrong;
use crate::wire::{self, Blueprint, Places};
use crate::{out, reactor};

/// Checks a configuration without serving it.
pub(crate) fn run(args: &Check) -> anyhow::Result<()> {
    let reactor = reactor()?;
    let _within = reactor.enter();
    let checked = wire::load(&args.config)
        .map_err(Into::into)
        .and_then(|loaded| Blueprint::draw(loaded, Places::scratch()?));
    match args.format {
        CheckFormat::Text => Ok(out::print(&summary(&checked?)?)?),
        CheckFormat::Json => as_json(checked),
    }
}

fn summary(blueprint: &Blueprint) -> anyhow::Result<String> {
    let loaded = blueprint.loaded();
    let catalog = blueprint.runtime()?.catalog();
    let mut text = format!("{}: ok\n", loaded.origin.name());
    for role in Role::ALL {
        let names: Vec<_> = catalog.names(role).map(AsRef::as_ref).collect();
        line(&mut text, role.name(), &names);
    }
    let names: Vec<_> = catalog.collections.keys().map(AsRef::as_ref).collect();
    line(&mut text, "collections", &names);
    let names: Vec<_> = catalog.aliases.keys().map(AsRef::as_ref).collect();
    line(&mut text, "aliases", &names);
    Ok(text)
}

fn line(text: &mut String, what: &str, names: &[&str]) {
    let names = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let _ = writeln!(text, "  {what:<15} {names}");
}

fn as_json(checked: anyhow::Result<Blueprint>) -> anyhow::Result<()> {
    let (told, outcome) = match checked {
        Ok(_) => (json!({"valid": true, "problems": []}), Ok(())),
        Err(error) => match error.downcast_ref::<ConfigError>() {
            Some(ConfigError::Invalid { problems, .. }) => {
                let count = problems.len();
                let told = json!({"valid": false, "problems": problems});
                (
                    told,
                    Err(Wrong(format!("the configuration has {count} problems")).into()),
                )
            }
            _ => return Err(error),
        },
    };
    out::print(&format!("{told:#}\n"))?;
    outcome
}

/// Prints the JSON schema of the configuration.
pub(crate) fn schema() -> anyhow::Result<()> {
    Ok(out::print(&format!("{:#}\n", routir_config::schema()))?)
}
