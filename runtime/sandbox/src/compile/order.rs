//! What the server tells the compiling child beside the component: one environment variable.

use std::fmt;
use std::str::FromStr;

/// The variable's name. Whoever sees it in a program's environment is a compiling child.
pub(super) const VARIABLE: &str = "ROUTIR_RT_COMPILE";

/// How to compile, and under which limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Address space of the child, in MiB.
    pub(super) memory_mb: u32,
    /// Its processor time, in seconds.
    pub(super) cpu_s: u32,
    /// Whether the code counts fuel.
    pub(super) counts_fuel: bool,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory_mb,
            cpu_s,
            counts_fuel,
        } = self;
        write!(
            f,
            "memory_mb={memory_mb} cpu_s={cpu_s} counts_fuel={counts_fuel}"
        )
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let mut next = |key: &str| {
            words
                .next()
                .and_then(|word| word.strip_prefix(key)?.strip_prefix('='))
                .ok_or_else(|| format!("`{VARIABLE}` has no `{key}`: {text:?}"))
        };
        let wrong = |key: &str| format!("`{VARIABLE}` has a wrong `{key}`: {text:?}");
        Ok(Self {
            memory_mb: next("memory_mb")?.parse().map_err(|_| wrong("memory_mb"))?,
            cpu_s: next("cpu_s")?.parse().map_err(|_| wrong("cpu_s"))?,
            counts_fuel: next("counts_fuel")?
                .parse()
                .map_err(|_| wrong("counts_fuel"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let order = Order {
            memory_mb: 2048,
            cpu_s: 120,
            counts_fuel: true,
        };
        assert_eq!(order.to_string().parse(), Ok(order));
        assert!(
            "memory_mb=1 cpu_s=x counts_fuel=true"
                .parse::<Order>()
                .is_err()
        );
        assert!("memory_mb=1".parse::<Order>().is_err());
        assert!("".parse::<Order>().is_err());
    }
}
