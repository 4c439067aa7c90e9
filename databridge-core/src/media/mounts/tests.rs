#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::base::error::Fault;

fn mount(server: &str, linux: &str, windows: &str, macos: &str) -> Mount {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Mount {
        server: given(server),
        linux: given(linux),
        windows: given(windows),
        macos: given(macos),
    }
}

fn studio() -> Mounts {
    Mounts(vec![
        mount("/srv/production", "/mnt/prod", r"P:\", "/Volumes/prod"),
        mount("/srv/production/archive", "/mnt/archive", r"\\nas01\Archive", "/Volumes/archive"),
        mount("", "/mnt/staging", "", "/Volumes/staging"),
    ])
}

#[test]
fn one_place_has_a_name_on_each_system() {
    let studio = studio();
    studio.check().unwrap();
    let here = "/srv/production/film/plates/TRF-00042";
    for (system, there) in [
        (System::Linux, "/mnt/prod/film/plates/TRF-00042"),
        (System::Windows, r"P:\film\plates\TRF-00042"),
        (System::Macos, "/Volumes/prod/film/plates/TRF-00042"),
    ] {
        assert_eq!(studio.for_client(system, here).unwrap(), there);
        assert_eq!(studio.for_server(system, there).unwrap(), here);
    }
    // The longest counts.
    let archived = "/srv/production/archive/film/a.exr";
    let there = studio.for_client(System::Windows, archived).unwrap();
    assert_eq!(there, r"\\nas01\Archive\film\a.exr");
    assert_eq!(studio.for_client(System::Windows, "/srv/production").unwrap(), r"P:\");
    assert_eq!(
        studio.between(System::Windows, System::Macos, r"p:/Film\a.exr").unwrap(),
        "/Volumes/prod/Film/a.exr"
    );
    // Elsewhere Linux sees what we see, and nobody else sees anything.
    assert_eq!(studio.for_client(System::Linux, "/data/x").unwrap(), "/data/x");
    let error = studio.for_client(System::Windows, "/data/x").unwrap_err();
    assert_eq!(error.code(), "mounts.not_mounted");
    let error = studio.for_client(System::Windows, "/mnt/staging/TRF-00042").unwrap_err();
    assert_eq!(error.code(), "mounts.not_mounted");
    // Names only begin alike.
    assert_eq!(studio.for_client(System::Linux, "/srv/production2").unwrap(), "/srv/production2");
}

#[test]
fn windows_may_write_it_in_many_ways() {
    let studio = studio();
    for (typed, here) in [
        (r"P:\film\a", "/srv/production/film/a"),
        (r"p:\film\\a\", "/srv/production/film/a"),
        ("P:/film/a", "/srv/production/film/a"),
        (r"\\?\P:\film\a", "/srv/production/film/a"),
        (r"\\NAS01\archive\film\a", "/srv/production/archive/film/a"),
        ("//nas01/ARCHIVE/film/a", "/srv/production/archive/film/a"),
        (r"\\?\UNC\nas01\Archive\film\a", "/srv/production/archive/film/a"),
        ("P:", "/srv/production"),
    ] {
        assert_eq!(studio.for_server(System::Windows, typed).unwrap(), here, "{typed}");
    }
    for (typed, code) in [
        (r"film\a", "mounts.path"),
        (r"P:film\a", "mounts.path"),
        (r"\film\a", "mounts.path"),
        (r"\\nas01", "mounts.path"),
        (r"\\.\PhysicalDrive0\x", "mounts.path"),
        (r"P:\film\..\a", "mounts.path"),
        (r"P:\film\a:stream", "mounts.path"),
        (r"P:\film\a.", "mounts.path"),
        (r"P:\film\aux.exr", "mounts.path"),
        ("/mnt/prod", "mounts.path"),
        (r"Q:\film", "mounts.not_mounted"),
        (r"\\nas02\archive\film", "mounts.not_mounted"),
    ] {
        assert_eq!(studio.for_server(System::Windows, typed).unwrap_err().code(), code, "{typed}");
    }
    for name in ["a:b", "a?", "aux", "COM1.txt", "dot.", "space ", r"back\slash", "é\u{7}"] {
        let error = studio.for_client(System::Windows, &format!("/srv/production/{name}/x"));
        assert!(error.is_err(), "{name:?}");
    }
}

#[test]
fn case_and_unicode_form_count_where_the_system_counts_them() {
    let studio = Mounts(vec![mount("", "/mnt/Prod", "", "/Volumes/Größe")]);
    assert!(studio.for_server(System::Macos, "/volumes/GRO\u{308}SSE/Film").is_ok());
    assert_eq!(studio.for_server(System::Linux, "/mnt/prod/x").unwrap(), "/mnt/prod/x");
    let error = studio.for_client(System::Macos, "/mnt/prod/x").unwrap_err();
    assert_eq!(error.code(), "mounts.not_mounted");
}

#[test]
fn what_another_mount_hides_is_not_offered() {
    let hidden = Mounts(vec![mount("", "/a", r"P:\", ""), mount("", "/b", r"P:\b", "")]);
    hidden.check().unwrap();
    assert_eq!(hidden.for_client(System::Windows, "/a/c").unwrap(), r"P:\c");
    for path in ["/a/b", "/a/B/x"] {
        let error = hidden.for_client(System::Windows, path).unwrap_err();
        assert_eq!(error.code(), "mounts.shadowed", "{path}");
    }
}

#[test]
fn mounts_that_cannot_be_meant_are_refused() {
    for (mounts, reason) in [
        (vec![mount("", "", r"P:\", "")], "neither server nor linux"),
        (vec![mount("", "mnt", "", "")], "does not begin with a slash"),
        (vec![mount("", "/a", "P", "")], "begins neither with a drive"),
        (vec![mount("", "/a", "", ""), mount("", "/a/", "", "")], "mounted twice on linux"),
        (vec![mount("", "/a", r"P:\x", ""), mount("", "/b", "p:/X", "")], "twice on windows"),
        (vec![mount("", "/a/../b", "", "")], ". or .. in it"),
    ] {
        let told = Mounts(mounts.clone()).check().unwrap_err();
        assert!(told.contains(reason), "{mounts:?}: {told}");
    }
}

fn roots() -> impl Strategy<Value = Mounts> {
    let posix = || {
        prop::collection::vec("[abAB]{1,2}", 0..3).prop_map(|names| format!("/{}", names.join("/")))
    };
    let windows = prop_oneof![
        prop::collection::vec("[abAB]{1,2}", 0..3)
            .prop_map(|names| format!(r"P:\{}", names.join(r"\"))),
        prop::collection::vec("[abAB]{1,2}", 0..2)
            .prop_map(|names| format!(r"\\nas\Vol\{}", names.join(r"\"))),
    ];
    let one =
        (posix(), prop::option::of(posix()), prop::option::of(windows), prop::option::of(posix()))
            .prop_map(|(server, linux, windows, macos)| Mount {
                server: Some(server),
                linux,
                windows,
                macos,
            });
    prop::collection::vec(one, 0..4).prop_map(Mounts)
}

proptest! {
    /// Whatever is mounted wherever: what is translated comes back as it was.
    #[test]
    fn there_and_back_is_the_same_path(
        mounts in roots(),
        names in prop::collection::vec("[abAB]{1,2}|[a-z. ]{1,4}|aux|\\PC{1,4}", 0..5),
        system in 0usize..3,
    ) {
        prop_assume!(mounts.check().is_ok());
        let system = SYSTEMS[system];
        let path = format!("/{}", names.join("/"));
        let Ok(there) = mounts.for_client(system, &path) else { return Ok(()) };
        let back = mounts.for_server(system, &there).unwrap();
        // Slashes too many are no names.
        prop_assert_eq!(back, render(System::Linux, &parse(System::Linux, &path).unwrap()));
        // And what the client has goes the same way round.
        let again = mounts.for_client(system, &mounts.for_server(system, &there).unwrap());
        prop_assert_eq!(again.unwrap(), there);
    }

    /// The same for what was typed on Windows, but for how it was written.
    #[test]
    fn what_is_typed_on_windows_comes_back_the_windows_way(
        mounts in roots(),
        typed in "(p:|P:|\\\\\\\\NAS\\\\vol|//nas/VOL)([/\\\\]{1,2}[abAB .:é]{1,3}){0,4}",
    ) {
        prop_assume!(mounts.check().is_ok());
        let Ok(here) = mounts.for_server(System::Windows, &typed) else { return Ok(()) };
        let there = mounts.for_client(System::Windows, &here).unwrap();
        let (one, other) = (parse(System::Windows, &typed), parse(System::Windows, &there));
        prop_assert!(same(System::Windows, &one.unwrap(), &other.unwrap()), "{} {}", typed, there);
    }

    #[test]
    fn any_text_is_a_path_or_refused(text in "\\PC{0,30}|[P:/\\\\?.a ]{0,12}", system in 0usize..3) {
        let system = SYSTEMS[system];
        if let Ok(path) = parse(system, &text) {
            let written = render(system, &path);
            prop_assert_eq!(parse(system, &written).unwrap(), path);
        }
    }
}
