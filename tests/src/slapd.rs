//! A real OpenLDAP server with a small studio in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Daemon, PATIENCE, find_program, free_port, give_away, run, unprivileged};

const ADVICE: &str = "on Debian `apt-get install slapd ldap-utils`";
/// Everything is below it.
pub const SUFFIX: &str = "dc=studio,dc=test";
/// Who looks people up, and the password to it.
pub const READER: (&str, &str) = ("cn=reader,dc=studio,dc=test", "the reader's secret");
const ROOT: (&str, &str) = ("cn=root,dc=studio,dc=test", "the root's secret");

/// A directory on two loopback ports; it ends with this value.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    plain: u16,
    tls: u16,
    folder: TempDir,
}

fn program(name: &str) -> PathBuf {
    find_program(name, &[], ADVICE)
}

/// An authority and a certificate by it for 127.0.0.1.
pub fn certificates(folder: &Path) {
    let at = |name: &str| folder.join(name);
    let openssl =
        || Command::new(find_program("openssl", &[], "on Debian `apt-get install openssl`"));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    run(openssl()
        .args(["req", "-x509", "-days", "2", "-subj", "/CN=Test authority"])
        .args(key)
        .args(["-addext", "basicConstraints=critical,CA:TRUE", "-keyout"])
        .arg(at("ca.key"))
        .arg("-out")
        .arg(at("ca.pem")));
    run(openssl()
        .args(["req", "-x509", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(key)
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-CA"])
        .arg(at("ca.pem"))
        .arg("-CAkey")
        .arg(at("ca.key"))
        .arg("-keyout")
        .arg(at("server.key"))
        .arg("-out")
        .arg(at("server.pem")));
    give_away(&at("server.key"));
}

impl Server {
    /// Starts one with these entries (LDIF) besides [`READER`].
    pub fn start(entries: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-slapd-").tempdir().unwrap();
        give_away(folder.path());
        certificates(folder.path());
        std::fs::create_dir(folder.path().join("data")).unwrap();
        give_away(&folder.path().join("data"));
        std::fs::write(folder.path().join("slapd.conf"), config(folder.path())).unwrap();
        let base = format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Studio\ndc: studio\n\n\
             dn: {}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\n\
             cn: reader\nuserPassword: {}\n\n{entries}",
            READER.0, READER.1
        );
        std::fs::write(folder.path().join("base.ldif"), base).unwrap();
        run(unprivileged(program("slapadd"))
            .arg("-f")
            .arg(folder.path().join("slapd.conf"))
            .arg("-l")
            .arg(folder.path().join("base.ldif")));
        // Between the choice of a port and its use somebody may take it.
        let (daemon, plain, tls) =
            (0..8).find_map(|_| launch(folder.path())).expect("slapd found no free port");
        Self { daemon, plain, tls, folder }
    }

    /// `ldap://127.0.0.1:…`, which knows StartTLS.
    pub fn plain(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain)
    }

    /// `ldaps://127.0.0.1:…`
    pub fn tls(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls)
    }

    /// Who vouches for it.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Hangs or kills it.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Changes entries, by ldapmodify(1).
    pub fn modify(&self, ldif: &str) {
        let file = self.folder.path().join("change.ldif");
        std::fs::write(&file, ldif).unwrap();
        run(Command::new(program("ldapmodify"))
            .args(["-x", "-H", &self.plain(), "-D", ROOT.0, "-w", ROOT.1, "-f"])
            .arg(&file));
    }
}

fn config(folder: &Path) -> String {
    let at = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         pidfile {at}/slapd.pid\n\
         # As careless servers are: a name without a password is welcome.\n\
         allow bind_anon_cred bind_anon_dn\n\
         TLSCACertificateFile {at}/ca.pem\n\
         TLSCertificateFile {at}/server.pem\n\
         TLSCertificateKeyFile {at}/server.key\n\
         database mdb\n\
         suffix \"{SUFFIX}\"\n\
         rootdn \"{}\"\n\
         rootpw \"{}\"\n\
         directory {at}/data\n\
         dbnosync\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by users read by * none\n",
        ROOT.0, ROOT.1
    )
}

fn launch(folder: &Path) -> Option<(Daemon, u16, u16)> {
    let (plain, tls) = (free_port(), free_port());
    let mut command = unprivileged(program("slapd"));
    command.arg("-f").arg(folder.join("slapd.conf")).arg("-h");
    command.arg(format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}"));
    command.args(["-d", "256"]);
    let mut daemon = Daemon::spawn_in(command, folder);
    daemon.find_line(PATIENCE, |line| line.contains("slapd starting")).ok()?;
    Some((daemon, plain, tls))
}

/// A person of `inetOrgPerson`, in LDIF.
pub fn person(rdn: &str, uid: &str, name: &str, password: &str) -> String {
    format!(
        "dn: {rdn},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {name}\n\
         sn: {uid}\nmail: {uid}@studio.test\nuserPassword: {password}\n\n"
    )
}

/// A group with these members' DNs, in LDIF.
pub fn group(name: &str, members: &[&str]) -> String {
    let members: String = members.iter().map(|dn| format!("member: {dn}\n")).collect();
    format!("dn: cn={name},ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: {name}\n{members}\n")
}

/// The folders that people and groups stand in, in LDIF.
pub fn units() -> String {
    ["people", "groups"]
        .map(|ou| format!("dn: ou={ou},{SUFFIX}\nobjectClass: organizationalUnit\nou: {ou}\n\n"))
        .concat()
}
