//! The canonical form of a tree: `name[label]@view%limit`, one space around `>>` and after `,`.

use std::fmt::{Display, Formatter, Result, Write};

use crate::{Call, Parallel, Sequence, Stage};

impl Display for Sequence {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        separated(f, &self.stages, " >> ")
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::Parallel(parallel) => parallel.fmt(f),
        }
    }
}

impl Display for Parallel {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(expander) = &self.expander {
            expander.fmt(f)?;
        }
        f.write_char('{')?;
        separated(f, &self.branches, ", ")?;
        f.write_char('}')?;
        self.merger.fmt(f)
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.name.text)?;
        if let Some(label) = &self.label {
            write!(f, "[{}]", label.text)?;
        }
        if let Some(view) = &self.view {
            write!(f, "@{}", view.text)?;
        }
        if let Some(limit) = &self.limit {
            write!(f, "%{}", limit.value)?;
        }
        Ok(())
    }
}

fn separated(f: &mut Formatter<'_>, items: &[impl Display], separator: &str) -> Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
