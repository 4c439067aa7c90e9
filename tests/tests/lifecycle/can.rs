//! What a host must have, by the method that fills production.

use databridge_core::base::cancel::Cancel;
use databridge_core::control::jobs::{Capability, Handler, Settings, Worker};
use databridge_core::media::delivery::Method;
use databridge_core::media::storage::Location;
use databridge_core::workflow::Symbol;
use std::sync::Arc;

use crate::lab::{Kind, Lab};

fn needs(lab: &Lab, kind: &str) -> Vec<Capability> {
    lab.app.transfers().needs(kind).to_vec()
}

#[tokio::test]
async fn the_method_is_asked_for_beside_the_place() {
    use Capability::{ObjectStore, Production, Rsync, Scan, Staging};
    let native = Lab::open(Kind::Sqlite).await;
    let rsync = Lab::open_with(Kind::Sqlite, |c| c.copy.method = Method::Rsync).await;
    let object = Lab::open_with(Kind::Sqlite, |config| {
        config.production = Some(Location::parse("s3://studio/production").unwrap());
    })
    .await;
    for kind in ["transfer.prepare", "transfer.copy", "transfer.verify"] {
        assert_eq!(needs(&native, kind), [Staging, Production], "{kind}");
        assert_eq!(needs(&rsync, kind), [Staging, Production, Rsync], "{kind}");
        assert_eq!(needs(&object, kind), [Staging, Production, ObjectStore], "{kind}");
    }
    for (lab, abort) in [
        (&native, vec![Production]),
        (&rsync, vec![Production]),
        (&object, vec![Production, ObjectStore]),
    ] {
        assert_eq!(needs(lab, "transfer.abort"), abort);
        assert_eq!(needs(lab, "transfer.scan"), [Staging, Scan]);
        assert_eq!(needs(lab, "transfer.freeze"), [Staging]);
    }
}

#[tokio::test]
async fn a_host_without_the_method_leaves_the_job_to_others() {
    let lab = Lab::open_with(Kind::Sqlite, |config| config.copy.method = Method::Rsync).await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.act("it_team", "start", &code).await;
    let host = |can: Vec<Capability>| {
        let settings = Settings { can, ..Settings::default() };
        let handler = Arc::new(lab.app.transfers().clone());
        Worker::new(lab.store.clone(), vec![handler], settings, "host".into())
    };
    let stop = Cancel::new();
    let all_but = |missing: Capability| {
        Capability::ALL.iter().copied().filter(|can| *can != missing).collect::<Vec<_>>()
    };
    assert!(!host(all_but(Capability::Rsync)).step(&stop).await.unwrap());
    assert_eq!(lab.state(&code).await, "preparing");
    assert!(host(all_but(Capability::ObjectStore)).step(&stop).await.unwrap());
    assert_ne!(lab.state(&code).await, "preparing");
}
