//! Requests are counted for all hosts together.

use databridge_core::control::limits::{Class, Limits, Settings};

use crate::lab::{Kind, Lab};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_share_one_window() {
    const LIMIT: i64 = 20;
    let lab = Lab::open(Kind::Postgres).await;
    let settings = Settings { reads_per_minute: LIMIT, ..Settings::default() };
    let hosts = [
        Limits::new(lab.store.clone(), settings.clone()),
        Limits::new(lab.store.clone(), settings),
    ];
    // A minute may end meanwhile: then once more, as somebody else.
    for round in 0.. {
        let caller = format!("caller {round}");
        let asked = async |host: &Limits| {
            let mut windows = Vec::new();
            for _ in 0..LIMIT {
                windows.push(host.count(Class::Read, "lots", &caller).await.unwrap().unwrap());
            }
            windows
        };
        let (mut all, others) = tokio::join!(asked(&hosts[0]), asked(&hosts[1]));
        let earlier = all.first().unwrap().reset_seconds.max(others.first().unwrap().reset_seconds);
        let rolled = all.iter().chain(&others).any(|w| w.reset_seconds > earlier);
        if rolled {
            continue;
        }
        all.extend(others);
        assert_eq!(all.iter().filter(|w| w.admitted).count(), LIMIT as usize);
        let mut left: Vec<_> = all.iter().filter(|w| w.admitted).map(|w| w.remaining).collect();
        left.sort_unstable();
        assert_eq!(left, (0..LIMIT).collect::<Vec<_>>());
        assert!(all.iter().all(|w| w.limit == LIMIT && (1..=60).contains(&w.reset_seconds)));
        // A read's limit is not a write's, and one part's not another's.
        for (class, part) in [(Class::Write, "lots"), (Class::Read, "runs")] {
            let window = hosts[0].count(class, part, &caller).await.unwrap().unwrap();
            assert!(window.admitted);
        }
        return;
    }
}
