use super::*;

#[tokio::test]
async fn whatever_happens_to_two_replicas_no_worker_is_in_two_pools() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start().await;
    let urls: Vec<String> = (0..6).map(|at| at.to_string()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut replicas = vec![
        Replica::start(&server, "0", &urls),
        Replica::start(&server, "1", &urls),
    ];
    for step in 2..60 {
        let which = random.usize(0..2);
        let name = format!("p{}", random.u8(0..4));
        match random.u8(0..10) {
            0..=3 => drop(replicas[which].make(&name, random.u32(1..4)).await),
            4 => drop(replicas[which].pools.delete(&name).await),
            // Replicas do not see the same workers.
            5..=7 => {
                let some: Vec<&str> = urls.iter().copied().filter(|_| random.bool()).collect();
                replicas[which].workers.send(workers(&some)).unwrap();
            }
            8 => server.drop_watches(),
            _ => replicas[which] = Replica::start(&server, &step.to_string(), &urls),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..60))).await;
        assert_apart(&server);
        for replica in &replicas {
            assert_snapshot_apart(replica);
        }
    }
    // When all is calm, all agree.
    for replica in &replicas {
        replica.workers.send_replace(workers(&urls));
    }
    let agree = || {
        (0..4).all(|at| replicas[0].sees(&format!("p{at}")) == replicas[1].sees(&format!("p{at}")))
    };
    let full = || {
        let free = |url: &&&str| replicas[0].pools.membership(None).admits(url);
        let waiting = server.all(MAPS).iter().any(|map| {
            map["data"]["status"]
                .as_str()
                .is_some_and(|status| status.contains("pending"))
        });
        !waiting || urls.iter().find(free).is_none()
    };
    until("all agree", || agree() && full()).await;
    assert_apart(&server);
}

/// No worker is in two pools of what a replica shows to requests, and none that is in one is free.
fn assert_snapshot_apart(replica: &Replica) {
    let inner = replica.pools.inner.lock();
    let mut seen = HashSet::new();
    for pool in inner.table.list() {
        for member in &pool.members {
            assert!(
                seen.insert(Arc::clone(&member.url)),
                "{} is in two pools",
                member.url
            );
            assert!(!replica.pools.membership(None).admits(&member.url));
        }
    }
}
