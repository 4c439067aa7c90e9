//! What clients on other systems call the places.

use databridge_core::media::mounts::{Mount, Mounts};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(each_system_is_told_its_own_names, without_mounts_linux_sees_what_we_see);

async fn each_system_is_told_its_own_names(kind: Kind) {
    let lab = Lab::open_with(kind, |config| {
        let places = config.places();
        let shown = |path: &std::path::Path| Some(path.display().to_string());
        config.mounts = Mounts(vec![
            Mount {
                server: shown(places.production.as_path().unwrap()),
                linux: Some("/mnt/prod".into()),
                windows: Some(r"P:\".into()),
                macos: Some("/Volumes/prod".into()),
            },
            Mount {
                server: shown(&places.staging),
                linux: Some("/mnt/staging".into()),
                windows: None,
                macos: Some("/Volumes/staging".into()),
            },
        ]);
    })
    .await;
    let code = lab.create().await;
    let asked = |system: &str| json!({ "code": code, "system": system });
    let category = text(&lab.show(&code).await, "category");
    let windows = lab.ok("artist", "transfer_where", asked("windows")).await;
    assert_eq!(windows["production"], format!(r"P:\film\{category}\{code}"));
    assert_eq!(windows["proof"], format!(r"P:\film\{category}\{code}.proof"));
    assert_eq!((&windows["staging"], &windows["state"]), (&Value::Null, &json!("draft")));
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    let macos = lab.ok("artist", "transfer_where", asked("macos")).await;
    assert_eq!(macos["production"], format!("/Volumes/prod/film/{category}/{code}"));
    assert_eq!(macos["staging"], format!("/Volumes/staging/{code}/frozen-r1"));
    // That Windows has no staging keeps nobody from the delivery.
    let windows = lab.ok("artist", "transfer_where", asked("windows")).await;
    assert_eq!(windows["staging"], Value::Null);
    let error = lab.refused("other", "transfer_where", asked("linux")).await;
    assert_eq!(error.code(), "transfer.not_found");

    let path = json!({ "path": r"p:\film\a.exr", "from": "windows", "to": "macos" });
    let there = lab.ok("artist", "path_translate", path).await;
    assert_eq!(there, json!({ "system": "macos", "path": "/Volumes/prod/film/a.exr" }));
    for (path, from, to, code) in [
        (r"Q:\film", "windows", "linux", "mounts.not_mounted"),
        ("/mnt/staging/x", "linux", "windows", "mounts.not_mounted"),
        ("film", "linux", "macos", "mounts.path"),
        ("/mnt/prod/a?b", "linux", "windows", "mounts.unfit"),
    ] {
        let fields = json!({ "path": path, "from": from, "to": to });
        let error = lab.refused("artist", "path_translate", fields).await;
        assert_eq!(error.code(), code, "{path}: {error}");
        assert!(error.hint().is_some());
    }
}

async fn without_mounts_linux_sees_what_we_see(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let linux = json!({ "code": code, "system": "linux" });
    let here = lab.ok("artist", "transfer_where", linux).await;
    assert_eq!(here["production"], lab.show(&code).await["destination"]);
    let error =
        lab.refused("artist", "transfer_where", json!({ "code": code, "system": "macos" })).await;
    assert_eq!(error.code(), "mounts.not_mounted");
}
