//! People and groups of a real OpenLDAP server.

use std::fmt::Write;

use databridge_tests::slapd::{READER, SUFFIX, Server, group, person, units};
use databridge_tests::studio::{Running, Settings};
use serde_json::{Value, json};

use crate::desk::{BAD_TOKEN, Desk, Kind, PASSWORD, WRONG, refusal, same, text};

on_both!(
    people_come_in_with_the_roles_of_their_groups,
    what_the_directory_takes_away_is_gone_at_the_next_renewal
);

const DOWN: (u16, &str) = (503, "identity.directory");

fn dn(rdn: &str) -> String {
    format!("{rdn},ou=people,{SUFFIX}")
}

fn studio() -> Server {
    let mut ldif = units();
    ldif += &person("uid=ann", "ann", "Ann Other", "ann's password");
    ldif += &person("uid=bob", "bob", "Bob", "bob's password");
    ldif += &person("uid=eve", "eve", "Eve", "eve's password");
    ldif += &person("uid=admin", "admin", "Not the admin", "another admin's password");
    // A name that means something in a filter (RFC 4515) and in a DN (RFC 4514).
    ldif += &person("cn=Odd (x) * \\, Name", "odd", "Odd (x) * , Name", "odd's password");
    ldif += &group("leads", &[&dn("uid=ann"), &dn("uid=admin")]);
    ldif += &group("comp", &[&dn("uid=bob"), &dn("cn=Odd (x) * \\, Name")]);
    ldif += &group("artists", &[&format!("cn=comp,ou=groups,{SUFFIX}")]);
    ldif += &group("nobody-knows", &[&dn("uid=eve")]);
    Server::start(&ldif)
}

/// A daemon that asks these servers; what is said in `more` comes first.
fn desk(kind: Kind, servers: &[String], more: &str, folder: &std::path::Path) -> Desk {
    Desk::open_with(kind, settings(servers, more, folder))
}

fn settings(servers: &[String], more: &str, folder: &std::path::Path) -> Settings {
    let mut toml = format!("[directory]\n{more}\nservers = {servers:?}\ntimeout_seconds = 2\n");
    if !more.contains("user_dn") {
        write!(
            toml,
            "bind_dn = {:?}\nbind_password_file = \"{}\"\nuser_base = \"ou=people,{SUFFIX}\"\n",
            READER.0,
            folder.join("secret").display()
        )
        .unwrap();
        std::fs::write(folder.join("secret"), format!("{}\n", READER.1)).unwrap();
    }
    writeln!(toml, "group_base = \"ou=groups,{SUFFIX}\"").unwrap();
    for (group, role) in
        [("CN=Leads", "team_lead"), ("cn=artists", "artist"), ("cn=comp", "artist")]
    {
        let project = if group == "cn=comp" { "project = \"film\"\n" } else { "" };
        write!(toml, "[[directory.roles]]\ngroup = \"{group}, OU=groups,{SUFFIX}\"\nrole = \"{role}\"\n{project}").unwrap();
    }
    let file = folder.join("databridge.toml");
    std::fs::write(&file, toml).unwrap();
    vec![("CONFIG", file.into())]
}

fn secure(server: &Server) -> String {
    format!("ca_file = \"{}\"\nnested = \"walk\"", server.ca_file().display())
}

fn grants(session: &Value, desk: &Desk) -> Vec<String> {
    let me = desk.get("/auth/me", &text(session, "access_token"));
    me["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| format!("{}@{}", text(g, "role"), g["project"].as_str().unwrap_or("*")))
        .collect()
}

fn people_come_in_with_the_roles_of_their_groups(kind: Kind) {
    let (server, folder) = (studio(), tempfile::tempdir().unwrap());
    let mut desk = desk(kind, &[server.tls()], &secure(&server), folder.path());
    let ann = desk.login("ann", "ann's password").unwrap();
    assert_eq!(grants(&ann, &desk), ["team_lead@*"]);
    // By a group of a group, and by a group for one project.
    let bob = desk.login("BOB", "bob's password").unwrap();
    assert_eq!(grants(&bob, &desk), ["artist@*", "artist@film"]);
    let odd = desk.login("odd", "odd's password").unwrap();
    assert_eq!(grants(&odd, &desk), ["artist@*", "artist@film"]);
    let users = desk.get("/users", &desk.admin);
    let ann = users.as_array().unwrap().iter().find(|u| u["username"] == "ann").unwrap();
    assert_eq!(
        (&ann["display_name"], &ann["email"], &ann["kind"]),
        (&json!("Ann Other"), &json!("ann@studio.test"), &json!("directory"))
    );
    // The server itself takes a name without a password for a welcome stranger.
    for (name, password) in [
        ("ann", ""),
        ("ann", "bob's password"),
        ("ann*", "ann's password"),
        ("*", "ann's password"),
        ("ann)(uid=*", "ann's password"),
        ("ghost", "ann's password"),
        // In no group that gives a role.
        ("eve", "eve's password"),
        // A local account stays local.
        ("admin", "another admin's password"),
    ] {
        same(desk.login_refused(name, password), WRONG);
    }
    assert!(!desk.get("/users", &desk.admin).to_string().contains("eve"));
    desk.login("admin", "the password of admin").unwrap();
    // Passwords are the directory's, and are changed there.
    let body = json!({
        "username": "ann", "password": "ann's password", "new_password": "a password of her own",
    });
    let found = desk.refused("POST", "/auth/login", "", body);
    same(found, (422, "identity.bad_field"));
    // Whom an admin shuts out here is out, whatever the directory says.
    desk.post("/users/ann/active", &desk.admin, json!({ "active": false }));
    same(desk.login_refused("ann", "ann's password"), WRONG);
    let everything = desk.everything();
    for secret in [READER.1, "ann's password", "bob's password"] {
        assert!(!everything.contains(secret), "{secret} stands somewhere");
    }
}

fn what_the_directory_takes_away_is_gone_at_the_next_renewal(kind: Kind) {
    let (server, folder) = (studio(), tempfile::tempdir().unwrap());
    let desk = desk(kind, &[server.tls()], &secure(&server), folder.path());
    let bob = desk.login("bob", "bob's password").unwrap();
    // What was granted here stays.
    desk.post("/users/bob/roles", &desk.admin, json!({ "role": "data_team" }));
    server.modify(&format!(
        "dn: cn=leads,ou=groups,{SUFFIX}\nchangetype: modify\nadd: member\nmember: {}\n\n\
         dn: cn=comp,ou=groups,{SUFFIX}\nchangetype: modify\ndelete: member\nmember: {}\n",
        dn("uid=bob"),
        dn("uid=bob")
    ));
    let bob = desk.refresh(&text(&bob, "refresh_token")).unwrap();
    assert_eq!(grants(&bob, &desk), ["data_team@*", "team_lead@*"]);
    assert_eq!(desk.events("user.directory_roles"), 2);
    server.modify(&format!("dn: {}\nchangetype: delete\n", dn("uid=bob")));
    same(refusal(desk.refresh(&text(&bob, "refresh_token"))), BAD_TOKEN);
    assert!(!desk.is_in(&text(&bob, "access_token")), "gone there, in here");
    same(desk.login_refused("bob", "bob's password"), WRONG);
}

#[test]
fn servers_are_asked_in_order_and_none_is_waited_for_long() {
    let (mut hung, server, folder) = (studio(), studio(), tempfile::tempdir().unwrap());
    // Each has an authority of its own; both vouch.
    let both = folder.path().join("both.pem");
    let pem = |s: &Server| std::fs::read_to_string(s.ca_file()).unwrap();
    std::fs::write(&both, pem(&hung) + &pem(&server)).unwrap();
    let more = format!("ca_file = \"{}\"", both.display());
    let nobody = "ldaps://127.0.0.1:1".to_owned();
    let servers = [nobody, hung.tls(), server.tls()];
    let desk = desk(Kind::Sqlite, &servers, &more, folder.path());
    desk.login("ann", "ann's password").unwrap();
    hung.daemon().pause();
    desk.login("ann", "ann's password").unwrap();
    // A server that says no is believed: the next is not asked.
    hung.daemon().resume();
    server.modify(&format!("dn: {}\nchangetype: delete\n", dn("uid=ann")));
    desk.login("ann", "ann's password").unwrap();
    hung.modify(&format!("dn: {}\nchangetype: delete\n", dn("uid=ann")));
    same(desk.login_refused("ann", "ann's password"), WRONG);
}

#[test]
fn while_the_directory_is_down_policy_decides() {
    for (policy, local) in [("refuse", false), ("local", true)] {
        let (mut server, folder) = (studio(), tempfile::tempdir().unwrap());
        let more = format!("{}\nwhen_down = {policy:?}", secure(&server));
        let desk = desk(Kind::Sqlite, &[server.tls()], &more, folder.path());
        let ann = desk.login("ann", "ann's password").unwrap();
        desk.login("bob", "bob's password").unwrap();
        desk.post("/users/ann/password", &desk.admin, json!({ "new_password": PASSWORD }));
        // While it answers, its own password counts and no other.
        same(desk.login_refused("ann", PASSWORD), WRONG);
        server.daemon().kill_9();
        let found = desk.login("ann", PASSWORD);
        assert_eq!(found.is_ok(), local, "{found:?}");
        if local {
            same(desk.login_refused("ann", "ann's password"), WRONG);
        }
        same(desk.login_refused("bob", "bob's password"), DOWN);
        desk.login("admin", "the password of admin").unwrap();
        // A token is not used up by asking in vain; here an admin's new password ended it.
        same(refusal(desk.refresh(&text(&ann, "refresh_token"))), BAD_TOKEN);
    }
}

#[test]
fn start_tls_protects_and_an_unknown_authority_is_refused() {
    let (server, folder) = (studio(), tempfile::tempdir().unwrap());
    let start_tls = format!("{}\nstart_tls = true", secure(&server));
    let desk1 = desk(Kind::Sqlite, &[server.plain()], &start_tls, folder.path());
    desk1.login("ann", "ann's password").unwrap();
    let stranger = studio();
    let wrong = format!("{}\nstart_tls = true", secure(&stranger));
    for at in [server.plain(), server.tls()] {
        let desk2 = desk(Kind::Sqlite, &[at], &wrong, folder.path());
        same(desk2.login_refused("ann", "ann's password"), DOWN);
    }
    // Never in clear by mistake.
    let place = databridge_tests::studio::Place::below(&folder.path().join("clear"));
    let ended =
        Running::start(&place, &settings(&[server.plain()], "", folder.path())).unwrap_err();
    assert!(ended.output.contains("in clear"), "{}", ended.output);
}

#[test]
fn people_may_bind_by_themselves() {
    let (server, folder) = (studio(), tempfile::tempdir().unwrap());
    let more = format!(
        "user_dn = \"uid={{username}},ou=people,{SUFFIX}\"\nca_file = \"{}\"",
        server.ca_file().display()
    );
    let desk = desk(Kind::Sqlite, &[server.tls()], &more, folder.path());
    let ann = desk.login("ann", "ann's password").unwrap();
    assert_eq!(grants(&ann, &desk), ["team_lead@*"]);
    for (name, password) in
        [("ann", "wrong"), ("ann", ""), ("ghost", "x"), ("eve", "eve's password")]
    {
        same(desk.login_refused(name, password), WRONG);
    }
    // Nobody may look her up, so a renewal keeps what there was.
    desk.refresh(&text(&ann, "refresh_token")).unwrap();
}
