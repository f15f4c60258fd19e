//! Watching a real directory.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use routir_core::{ErrorCode, ExtensionAdmin};
use tempfile::TempDir;

use super::{Pace, Watching};
use crate::registry::TenantExtensions;
use crate::registry::tests::{Life, tenant};

const PACE: Pace = Pace {
    settle: Duration::from_millis(40),
    rescan: Duration::from_millis(200),
};

/// A server that watches a directory.
struct World {
    state: TempDir,
    home: TempDir,
    life: Option<Life>,
    _watching: Option<Watching>,
}

impl World {
    async fn new() -> Self {
        let mut world = Self {
            state: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
            life: None,
            _watching: None,
        };
        std::fs::create_dir(world.dir()).unwrap();
        world.start().await;
        world
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("extensions")
    }

    fn tenant(&self) -> TenantExtensions {
        TenantExtensions {
            dirs: vec![self.dir()],
            ..tenant("acme")
        }
    }

    async fn start(&mut self) {
        self.stop().await;
        let life = Life::begin(self.state.path(), vec![self.tenant()]).await;
        self._watching = Some(life.registry.watch_at(PACE));
        self.life = Some(life);
    }

    /// Ends the server and waits until it has let go of its directory.
    async fn stop(&mut self) {
        self._watching = None;
        self.life = None;
        let lock = std::fs::File::create(self.state.path().join("lock")).unwrap();
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn life(&self) -> &Life {
        self.life.as_ref().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir().join(name), text).unwrap();
    }

    /// Waits until `name` answers with `version`.
    async fn until(&self, name: &str, version: Option<&str>) {
        let since = Instant::now();
        loop {
            let now = self.life().version("acme", name).await;
            if now.as_deref() == version {
                return;
            }
            let audit = self.life().audit(self.state.path()).join("\n");
            let late = since.elapsed() > Duration::from_secs(60);
            assert!(!late, "{name} is {now:?}, not {version:?}:\n{audit}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the audit has `count` lines that begin with `start`.
    async fn told(&self, start: &str, count: usize) {
        let since = Instant::now();
        loop {
            let audit = self.life().audit(self.state.path());
            if audit.iter().filter(|line| line.starts_with(start)).count() == count {
                return;
            }
            let late = since.elapsed() > Duration::from_secs(60);
            assert!(!late, "not {count} times {start:?}: {audit:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Long enough for several looks.
    async fn some_looks(&self) {
        tokio::time::sleep(PACE.rescan * 4).await;
    }
}

fn replace(dir: &Path, name: &str, text: &str) {
    let aside = dir.join(".upload");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, dir.join(name)).unwrap();
}

#[tokio::test]
async fn files_come_change_and_go() {
    let world = World::new().await;
    world.write("rrf.wasm", "component x 1.0.0");
    world.until("rrf", Some("1.0.0")).await;
    replace(&world.dir(), "rrf.wasm", "component x 2.0.0");
    world.until("rrf", Some("2.0.0")).await;
    world.told("publish ok rrf 2.0.0", 1).await;
    let report = world.life().registry.get("acme", "rrf").unwrap();
    assert_eq!(report.source, "directory");
    assert!(report.previous.is_some());
    std::fs::remove_file(world.dir().join("rrf.wasm")).unwrap();
    world.until("rrf", None).await;
    world.told("withdraw ok rrf 2.0.0", 1).await;
}

#[tokio::test]
async fn a_file_that_is_still_written_is_published_when_it_is_whole() {
    let world = World::new().await;
    world.write("rrf.wasm", "component x 1.0.0");
    world.until("rrf", Some("1.0.0")).await;
    // The old one serves while the new one is incomplete, however often that is seen.
    world.write("rrf.wasm", "comp");
    world.told("publish refused rrf", 1).await;
    world.some_looks().await;
    world.told("publish refused rrf", 1).await;
    world.until("rrf", Some("1.0.0")).await;
    world.write("rrf.wasm", "component x 2.0.0");
    world.until("rrf", Some("2.0.0")).await;
}

#[tokio::test]
async fn what_is_no_plain_file_of_fair_size_is_refused_once() {
    let world = World::new().await;
    let secret = world.home.path().join("secret.wasm");
    std::fs::write(&secret, "component secret 1.0.0").unwrap();
    symlink(&secret, world.dir().join("link.wasm")).unwrap();
    std::fs::create_dir(world.dir().join("folder.wasm")).unwrap();
    world.write("no name.wasm", "component x 1.0.0");
    let huge = std::fs::File::create(world.dir().join("huge.wasm")).unwrap();
    huge.set_len(1 << 40).unwrap();
    world.write("fine.wasm", "component x 1.0.0");
    world.until("fine", Some("1.0.0")).await;
    world.some_looks().await;
    for name in ["link", "folder", "huge", "no name"] {
        world.told(&format!("file refused {name}"), 1).await;
        world.until(name, None).await;
    }
    // A link in the place of a published file changes nothing.
    std::fs::remove_file(world.dir().join("fine.wasm")).unwrap();
    symlink(&secret, world.dir().join("fine.wasm")).unwrap();
    world.told("file refused fine", 1).await;
    world.until("fine", Some("1.0.0")).await;
}

#[tokio::test]
async fn a_directory_that_vanishes_withdraws_nothing_and_may_come_back() {
    let world = World::new().await;
    world.write("rrf.wasm", "component x 1.0.0");
    world.until("rrf", Some("1.0.0")).await;
    let away = world.home.path().join("away");
    std::fs::rename(world.dir(), &away).unwrap();
    world.some_looks().await;
    world.until("rrf", Some("1.0.0")).await;
    // Another directory in its place, with another content.
    std::fs::create_dir(world.dir()).unwrap();
    world.write("other.wasm", "component x 5.0.0");
    world.until("other", Some("5.0.0")).await;
    world.until("rrf", None).await;
    replace(&world.dir(), "other.wasm", "component x 6.0.0");
    world.until("other", Some("6.0.0")).await;
}

#[tokio::test]
async fn who_published_a_name_first_keeps_it() {
    let world = World::new().await;
    world
        .life()
        .put("acme", "api", "component x 1.0.0")
        .await
        .unwrap();
    world.write("api.wasm", "component x 9.0.0");
    world.write("file.wasm", "component x 9.0.0");
    world.until("file", Some("9.0.0")).await;
    world.told("file refused api", 1).await;
    world.some_looks().await;
    world.told("file refused api", 1).await;
    world.until("api", Some("1.0.0")).await;
    let put = world.life().put("acme", "file", "component x 1.0.0").await;
    let put = put.unwrap_err();
    assert_eq!(put.code(), ErrorCode::InvalidArgument);
    assert!(
        put.message().contains("comes from the file `file.wasm`"),
        "{put}"
    );
    assert!(world.life().remove("acme", "file").await.is_err());
    // What the API gives up, the file takes.
    world.life().remove("acme", "api").await.unwrap();
    world.until("api", Some("9.0.0")).await;
}

#[tokio::test]
async fn over_the_quota_a_file_waits_for_room() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.write(&format!("{name}.wasm"), "component x 1.0.0");
        world.until(name, Some("1.0.0")).await;
    }
    world.write("d.wasm", "component x 1.0.0");
    world.told("publish refused d", 1).await;
    std::fs::remove_file(world.dir().join("a.wasm")).unwrap();
    world.until("a", None).await;
    world.until("d", Some("1.0.0")).await;
}

#[tokio::test]
async fn a_rollback_holds_until_the_file_changes_even_over_a_restart() {
    let mut world = World::new().await;
    world.write("rrf.wasm", "component x 1.0.0");
    world.until("rrf", Some("1.0.0")).await;
    replace(&world.dir(), "rrf.wasm", "component x 2.0.0");
    world.until("rrf", Some("2.0.0")).await;
    world.life().roll_back("acme", "rrf").await.unwrap();
    world.start().await;
    world.some_looks().await;
    world.until("rrf", Some("1.0.0")).await;
    replace(&world.dir(), "rrf.wasm", "component x 3.0.0");
    world.until("rrf", Some("3.0.0")).await;
}

#[tokio::test]
async fn what_happened_while_the_server_was_down_is_caught_up_with() {
    let mut world = World::new().await;
    for name in ["stays", "goes", "changes"] {
        world.write(&format!("{name}.wasm"), "component x 1.0.0");
        world.until(name, Some("1.0.0")).await;
    }
    world.stop().await;
    std::fs::remove_file(world.dir().join("goes.wasm")).unwrap();
    world.write("changes.wasm", "component x 2.0.0");
    world.start().await;
    // From the store, before anybody looked into the directory.
    assert!(world.life().version("acme", "stays").await.is_some());
    world.until("goes", None).await;
    world.until("changes", Some("2.0.0")).await;
    world.until("stays", Some("1.0.0")).await;
}

#[tokio::test]
async fn a_directory_that_is_not_watched_any_more_withdraws_its_extensions() {
    let mut world = World::new().await;
    world.write("rrf.wasm", "component x 1.0.0");
    world.until("rrf", Some("1.0.0")).await;
    world.stop().await;
    let life = Life::begin(world.state.path(), vec![tenant("acme")]).await;
    assert_eq!(life.version("acme", "rrf").await, None);
    assert!(life.registry.list("acme").is_empty());
}
