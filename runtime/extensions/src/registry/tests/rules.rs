//! Versions, rollback, quota, names, concurrency, restarts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use expect_test::expect;
use routir_core::{ErrorCode, ExtensionAdmin};

use super::*;
use crate::fake::native;

#[tokio::test]
async fn a_version_replaces_another_and_a_rollback_swaps_the_two() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0"] {
        let text = format!("component x {version}");
        let report = life.put("acme", "rrf", &text).await.unwrap();
        assert_eq!(report.version, version);
        assert_eq!(life.version("acme", "rrf").await.unwrap(), version);
    }
    // Four were published; the active one and two earlier ones are kept.
    assert_eq!(stored(dir.path(), "acme"), (vec!["rrf.json".to_owned()], 3));
    let back = life.roll_back("acme", "rrf").await.unwrap();
    assert_eq!((back.version.as_str(), back.state), ("3.0.0", "active"));
    assert_eq!(
        back.previous,
        Some(crate::store::sha256(b"component x 4.0.0"))
    );
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "3.0.0");
    let forth = life.roll_back("acme", "rrf").await.unwrap();
    assert_eq!(forth.version, "4.0.0");
    assert_eq!(forth.params[0]["default"], 60);
    expect![[r#"
        admit ok rrf 1.0.0
        publish ok rrf 1.0.0
        admit ok rrf 2.0.0
        publish ok rrf 2.0.0
        admit ok rrf 3.0.0
        publish ok rrf 3.0.0
        admit ok rrf 4.0.0
        publish ok rrf 4.0.0
        admit ok rrf 3.0.0
        rollback ok rrf 3.0.0
        admit ok rrf 4.0.0
        rollback ok rrf 4.0.0"#]]
    .assert_eq(&life.audit(dir.path()).join("\n"));
}

#[tokio::test]
async fn what_was_published_comes_back_with_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = || vec![tenant("acme"), tenant("umbrella")];
    let life = Life::begin(dir.path(), tenants()).await;
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    life.put("acme", "rrf", "component x 2.0.0").await.unwrap();
    life.put("umbrella", "rrf", "component y 7.0.0")
        .await
        .unwrap();
    life.put("acme", "gone", "component x 1.0.0").await.unwrap();
    life.remove("acme", "gone").await.unwrap();
    let before = life.registry.get("acme", "rrf").unwrap();
    drop(life);

    let life = Life::begin(dir.path(), tenants()).await;
    assert_eq!(life.registry.get("acme", "rrf").unwrap(), before);
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "2.0.0");
    assert_eq!(life.version("umbrella", "rrf").await.unwrap(), "7.0.0");
    assert_eq!(life.version("acme", "gone").await, None);
    let back = life.roll_back("acme", "rrf").await.unwrap();
    assert_eq!(back.version, "1.0.0");
}

#[tokio::test]
async fn damage_is_told_and_harms_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    for name in ["torn", "changed", "whole"] {
        let text = format!("component {name} 1.0.0");
        life.put("acme", name, &text).await.unwrap();
    }
    drop(life);
    let at = dir.path().join("tenants/acme");
    let record = std::fs::read(at.join("torn.json")).unwrap();
    std::fs::write(at.join("torn.json"), &record[..record.len() / 2]).unwrap();
    let hash = crate::store::sha256(b"component changed 1.0.0");
    let component = at.join(format!("components/{hash}.wasm"));
    std::fs::write(component, "component changed 6.6.6").unwrap();
    std::fs::write(at.join(".tmp-1-1"), "half").unwrap();
    std::fs::write(at.join("..json"), "{}").unwrap();

    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    assert_eq!(life.version("acme", "whole").await.unwrap(), "1.0.0");
    assert_eq!(life.version("acme", "torn").await, None);
    assert_eq!(life.version("acme", "changed").await, None);
    let changed = life.registry.get("acme", "changed").unwrap();
    assert_eq!(changed.state, "refused");
    assert!(
        changed.checks[0].detail.contains("was changed"),
        "{changed:?}"
    );
    let audit = life.audit(dir.path()).join("\n");
    assert!(audit.contains("store failed torn"), "{audit}");
    assert!(audit.contains("restore failed changed"), "{audit}");
    assert!(!at.join(".tmp-1-1").exists());
    // Publishing again mends both.
    for name in ["torn", "changed"] {
        let text = format!("component {name} 1.0.0");
        life.put("acme", name, &text).await.unwrap();
        assert_eq!(life.version("acme", name).await.unwrap(), "1.0.0");
    }
}

#[tokio::test]
async fn nobody_sees_or_touches_what_another_tenant_has() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme"), tenant("umbrella")]).await;
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    let own = life.registry.get("umbrella", "rrf").unwrap_err();
    let none = life.registry.get("umbrella", "xyz").unwrap_err();
    assert_eq!(own.code(), ErrorCode::UnknownName);
    assert_eq!(own.message().replace("rrf", "xyz"), none.message());
    assert!(life.registry.list("umbrella").is_empty());
    assert_eq!(life.registry.list("acme").len(), 1);
    let removed = life.remove("umbrella", "rrf").await.unwrap_err();
    assert_eq!(removed.code(), ErrorCode::UnknownName);
    let rolled = life.roll_back("umbrella", "rrf").await.unwrap_err();
    assert_eq!(rolled.code(), ErrorCode::UnknownName);
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    life.runtime.taken.lock().insert("bm25".to_owned());
    let long = "x".repeat(65);
    let big = format!("component x {}", "1".repeat(2 << 20));
    let cases = [
        ("rrf", "nonsense", ErrorCode::InvalidArgument),
        ("bm25", "component x 1.0.0", ErrorCode::InvalidArgument),
        ("../rrf", "component x 1.0.0", ErrorCode::InvalidArgument),
        ("a/b", "component x 1.0.0", ErrorCode::InvalidArgument),
        ("", "component x 1.0.0", ErrorCode::InvalidArgument),
        (&long, "component x 1.0.0", ErrorCode::InvalidArgument),
        ("big", &big, ErrorCode::TooLarge),
    ];
    let before = stored(dir.path(), "acme");
    for (name, text, code) in cases {
        let refused = life.put("acme", name, text).await.unwrap_err();
        assert_eq!(refused.code(), code, "{name}: {refused}");
        assert_eq!(stored(dir.path(), "acme").0, before.0, "{name}");
    }
    let rolled = life.roll_back("acme", "rrf").await.unwrap_err();
    assert_eq!(rolled.code(), ErrorCode::InvalidArgument);
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "1.0.0");
    assert_eq!(life.registry.list("acme").len(), 1);
    // What was refused last is collected with the next change.
    life.put("acme", "rrf", "component x 2.0.0").await.unwrap();
    assert_eq!(stored(dir.path(), "acme").1, 2);
    let told = life.metrics.encode();
    let refused = r#"routir_extension_admissions_total{owner="acme",outcome="refused"} 1"#;
    assert!(told.contains(refused), "{told}");
}

#[tokio::test]
async fn the_same_bytes_again_are_not_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    let first = life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    let again = life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(life.admitter.asked.load(Ordering::SeqCst), 1);
    assert_eq!(again.previous, None);
}

#[tokio::test]
async fn no_more_than_the_quota_however_many_come_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme"), tenant("umbrella")]).await;
    *life.admitter.takes.lock() = Duration::from_millis(20);
    let names: Vec<_> = (0..10).map(|n| format!("x{n}")).collect();
    let puts = names
        .iter()
        .map(|name| life.put("acme", name, "component x 1.0.0"));
    let done = futures_util::future::join_all(puts).await;
    let (well, badly): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    assert_eq!(well.len(), 3);
    let overloaded = |it: &Result<_>| it.as_ref().unwrap_err().code() == ErrorCode::Overloaded;
    assert!(badly.iter().all(overloaded));
    // A quota counts names: versions are free, and room that is made is there.
    let there = life.registry.list("acme").remove(0).name;
    life.put("acme", &there, "component x 2.0.0").await.unwrap();
    life.put("umbrella", "x", "component x 1.0.0")
        .await
        .unwrap();
    life.remove("acme", &there).await.unwrap();
    life.put("acme", "other", "component x 1.0.0")
        .await
        .unwrap();
    // A refused admission gives its place back.
    life.remove("acme", "other").await.unwrap();
    life.put("acme", "bad", "nonsense").await.unwrap_err();
    life.put("acme", "good", "component x 1.0.0").await.unwrap();
}

#[tokio::test]
async fn one_name_one_after_another_and_different_names_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    *life.admitter.takes.lock() = Duration::from_millis(10);
    let texts: Vec<_> = (0..8).map(|n| format!("component x {n}.0.0")).collect();
    let puts = texts.iter().map(|text| life.put("acme", "rrf", text));
    let reports = futures_util::future::join_all(puts).await;
    assert_eq!(life.admitter.most.load(Ordering::SeqCst), 1);
    // Each saw the one before as its past: nothing was lost between two.
    let hashes: Vec<_> = reports.into_iter().map(|it| it.unwrap()).collect();
    for two in hashes.windows(2) {
        assert_eq!(two[1].previous.as_ref(), Some(&two[0].sha256));
    }
    let (a, b) = tokio::join!(
        life.put("acme", "a", "component x 1.0.0"),
        life.put("acme", "b", "component x 1.0.0")
    );
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(life.admitter.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_client_that_leaves_leaves_the_old_version_and_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    *life.admitter.takes.lock() = Duration::from_secs(600);
    let put = life.put("acme", "rrf", "component x 2.0.0");
    let left = tokio::time::timeout(Duration::from_millis(50), put).await;
    assert!(left.is_err());
    *life.admitter.takes.lock() = Duration::ZERO;
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "1.0.0");
    life.put("acme", "rrf", "component x 3.0.0").await.unwrap();
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "3.0.0");
}

#[tokio::test]
async fn what_is_not_admitted_any_more_waits_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    life.put("acme", "rrf", "component x 1.0.0").await.unwrap();
    life.put("acme", "rrf", "component x 2.0.0").await.unwrap();
    drop(life);
    let life = Life::unrestored(dir.path(), vec![tenant("acme")]);
    life.admitter.broken.store(true, Ordering::SeqCst);
    life.registry.restore().await.unwrap();
    assert_eq!(life.version("acme", "rrf").await, None);
    let report = life.registry.get("acme", "rrf").unwrap();
    assert_eq!(
        (report.state, report.version.as_str()),
        ("refused", "2.0.0")
    );
    life.admitter.broken.store(false, Ordering::SeqCst);
    // The same bytes are looked at again, since they are not in service.
    life.put("acme", "rrf", "component x 2.0.0").await.unwrap();
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "2.0.0");
    assert_eq!(
        life.roll_back("acme", "rrf").await.unwrap().version,
        "1.0.0"
    );
}

#[tokio::test]
async fn an_extension_that_crashes_trips_and_its_fallback_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut acme = tenant("acme");
    acme.on_failure.trip_after = std::num::NonZeroU32::new(3);
    acme.on_failure.retry_after = 3600.0;
    let life = Life::begin(dir.path(), vec![acme.clone()]).await;
    life.put("acme", "rrf", "component x 1.0.0 crashes")
        .await
        .unwrap();
    for _ in 0..3 {
        let answer = life.version("acme", "rrf").await.unwrap();
        assert_eq!(answer, "extension `acme/rrf` crashed");
    }
    let answer = life.version("acme", "rrf").await.unwrap();
    let kept_out = "extension `acme/rrf` is kept out after 3 failures in a row; it is tried again \
                    in 3600.0 s; the last failure: extension `acme/rrf` crashed";
    assert_eq!(answer, kept_out);
    assert_eq!(life.registry.get("acme", "rrf").unwrap().state, "tripped");
    // A new version begins anew.
    life.put("acme", "rrf", "component x 2.0.0").await.unwrap();
    assert_eq!(life.version("acme", "rrf").await.unwrap(), "2.0.0");
    assert_eq!(life.registry.get("acme", "rrf").unwrap().state, "active");
    assert!(
        life.audit(dir.path())
            .contains(&"trip ok rrf 1.0.0".to_owned())
    );
    let told = life.metrics.encode();
    for line in [
        r#"routir_extension_calls_total{extension="acme/*",outcome="failed"} 3"#,
        r#"routir_extension_calls_total{extension="acme/*",outcome="kept_out"} 1"#,
        r#"routir_extension_calls_total{extension="acme/*",outcome="ok"} 1"#,
        r#"routir_extension_trips_total{extension="acme/*"} 1"#,
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    drop(life);

    acme.on_failure.fallback = Some("bm25".to_owned());
    let life = Life::begin(dir.path(), vec![acme]).await;
    let natives = [("bm25".to_owned(), native("bm25"))];
    life.runtime.natives.lock().extend(natives);
    let report = life
        .put("acme", "rrf", "component x 3.0.0 crashes")
        .await
        .unwrap();
    assert_eq!(report.checks[1].detail, "`bm25` answers when it fails");
    for _ in 0..5 {
        assert_eq!(life.version("acme", "rrf").await.unwrap(), "bm25");
    }
    assert_eq!(life.registry.get("acme", "rrf").unwrap().state, "tripped");
    // A request that is the caller's mistake is told to the caller, and says nothing of the
    // extension.
    life.put("acme", "picky", "component x 1.0.0 invalid")
        .await
        .unwrap();
    for _ in 0..9 {
        let answer = life.version("acme", "picky").await.unwrap();
        assert_eq!(answer, "what is that supposed to mean");
    }
    assert_eq!(life.registry.get("acme", "picky").unwrap().state, "active");
}

#[tokio::test]
async fn two_servers_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _life = Life::begin(dir.path(), vec![tenant("acme")]).await;
    let disk = Arc::new(FaultyDisk::default());
    let error = Store::open(dir.path(), disk).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("in use by another server"));
}
