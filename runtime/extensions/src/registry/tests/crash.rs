//! Whatever step fails, or is the last before a crash: the state is the old or the new.

use std::collections::BTreeSet;
use std::future::Future;

use super::*;
use crate::fake::Fault;

/// A change of the extension `rrf` at version 1.0.0 with 0.9.0 before it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put,
    RollBack,
    Remove,
    First,
}

impl Change {
    const ALL: [Self; 4] = [Self::Put, Self::RollBack, Self::Remove, Self::First];

    async fn make(self, life: &Life) -> Result<()> {
        match self {
            Self::Put => life.put("acme", "rrf", "component x 2.0.0").await.map(drop),
            Self::RollBack => life.roll_back("acme", "rrf").await.map(drop),
            Self::Remove => life.remove("acme", "rrf").await,
            Self::First => life.put("acme", "new", "component x 2.0.0").await.map(drop),
        }
    }

    /// The versions of `rrf` and `new` before and after.
    fn states(self) -> [State; 2] {
        let old = (Some("1.0.0".to_owned()), None);
        let new = match self {
            Self::Put => (Some("2.0.0".to_owned()), None),
            Self::RollBack => (Some("0.9.0".to_owned()), None),
            Self::Remove => (None, None),
            Self::First => (Some("1.0.0".to_owned()), Some("2.0.0".to_owned())),
        };
        [old, new]
    }
}

type State = (Option<String>, Option<String>);

async fn state(life: &Life) -> State {
    (
        life.version("acme", "rrf").await,
        life.version("acme", "new").await,
    )
}

async fn prepared(dir: &Path) -> Life {
    let life = Life::begin(dir, vec![tenant("acme")]).await;
    life.put("acme", "rrf", "component x 0.9.0").await.unwrap();
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    life
}

/// Runs `check` with the fault at each step in turn until there is none left.
async fn at_each_step<F: Future<Output = bool>>(mut check: impl FnMut(usize) -> F) -> usize {
    for step in 1..100 {
        if check(step).await {
            return step - 1;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn after_a_crash_at_any_step_the_old_or_the_new_comes_back() {
    for change in Change::ALL {
        let mut seen = BTreeSet::new();
        let seen_here = std::sync::Mutex::new(&mut seen);
        let steps = at_each_step(|step| {
            let seen_here = &seen_here;
            async move {
                let dir = tempfile::tempdir().unwrap();
                let life = prepared(dir.path()).await;
                life.disk.fail_after(Fault::Crash, step);
                let made = change.make(&life).await;
                let whole = life.disk.mend();
                drop(life);
                let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
                let now = state(&life).await;
                let [old, new] = change.states();
                assert!(now == old || now == new, "{change:?} at {step}: {now:?}");
                if made.is_ok() {
                    assert_eq!(now, new, "{change:?} at {step}: it was promised");
                }
                // The next change works, and nothing is left behind for good.
                life.put("acme", "rrf", "component x 5.0.0").await.unwrap();
                let (files, components) = stored(dir.path(), "acme");
                let sound = |name: &String| name == "rrf.json" || name == "new.json";
                assert!(files.iter().all(sound), "{files:?}");
                assert!(components <= 4, "{change:?} at {step}: {components}");
                seen_here.lock().unwrap().insert(now == new);
                whole
            }
        });
        let steps = steps.await;
        assert!(steps >= 2, "{change:?} has {steps} steps");
        assert_eq!(seen.len(), 2, "{change:?}");
    }
}

#[tokio::test]
async fn when_a_step_fails_nothing_has_changed() {
    for change in Change::ALL {
        let steps = at_each_step(|step| async move {
            let dir = tempfile::tempdir().unwrap();
            let life = prepared(dir.path()).await;
            life.disk.fail_after(Fault::Once, step);
            let made = change.make(&life).await;
            let whole = life.disk.mend();
            let [old, new] = change.states();
            let expected = if made.is_ok() { new } else { old };
            assert_eq!(state(&life).await, expected, "{change:?} at {step}");
            let told = life.registry.get("acme", "rrf").ok().map(|it| it.version);
            assert_eq!(told, expected.0, "{change:?} at {step}");
            drop(life);
            let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
            assert_eq!(state(&life).await, expected, "{change:?} at {step}, later");
            whole
        });
        assert!(steps.await >= 2, "{change:?}");
    }
}
