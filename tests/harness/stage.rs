//! Where one test plays: a network namespace and a directory of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
};

use llb_kit::{fixtures, paths};
use tempfile::TempDir;

use super::{DEADLINE, Fleet, Launcher, netns::Netns, until};

/// A test's place. Declare it before its fleets: it must outlive them.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: TempDir,
    _netns: Netns,
}

impl Stage {
    /// Moves the calling thread into a network namespace of its own.
    pub(crate) fn new() -> Self {
        Stage { directory: TempDir::new().expect("a temporary directory"), _netns: Netns::enter() }
    }

    /// The test's directory; workers know it as `$STAGE`.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts `llb run ARGS -- COMMAND` and waits until it serves.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str], command: &[&str]) -> Fleet {
        let fleet = self.launch(args, command);
        fleet.wait_until_serving();
        fleet
    }

    /// Starts `llb run ARGS -- COMMAND`.
    #[track_caller]
    pub(crate) fn launch(&self, args: &[&str], command: &[&str]) -> Fleet {
        Fleet::launch(self.path(), args, command)
    }

    /// As [`start`](Self::start), by way of a launcher.
    #[track_caller]
    pub(crate) fn start_by(&self, by: &Launcher, args: &[&str], command: &[&str]) -> Fleet {
        let fleet = Fleet::launch_by(by, self.path(), args, command);
        fleet.wait_until_serving();
        fleet
    }

    /// Lets other users read and write here, and puts the fixtures in Python here, where they can read them.
    pub(crate) fn open_to_all(&self) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o777)).expect("a directory of our own");
        for name in ["asyncio_server.py", "report.py", "notify.py"] {
            let copy = self.path().join(name);
            fs::copy(fixture(name), &copy).expect("a fixture");
            fs::set_permissions(copy, fs::Permissions::from_mode(0o644)).expect("a file of our own");
        }
    }

    /// Makes a key and its certificate, `cert.pem`.
    #[track_caller]
    pub(crate) fn certify(&self) {
        let (key, certificate) = (self.path().join("key.pem"), self.path().join("only.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-subj", "/CN=localhost", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
        let made = openssl.output().expect("openssl");
        assert!(made.status.success(), "{made:?}");
        let both = [key, certificate].map(|path| fs::read_to_string(path).expect("PEM"));
        self.write("cert.pem", &both.concat());
    }

    /// Writes a file into the test's directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory");
        fs::write(&path, text).expect("a file in the test's directory");
        path
    }

    /// Compiles the fixture `static_server.c`: a server without any library to preload something into.
    pub(crate) fn static_server(&self) -> String {
        self.compile("static_server")
    }

    /// Compiles the fixture `faulty_server.c`: one of its workers may hang or fail.
    pub(crate) fn faulty_server(&self) -> String {
        self.compile("faulty_server")
    }

    /// Compiles the fixture `waiting_server.c`: one that waits in the way that its arguments say.
    pub(crate) fn waiting_server(&self) -> String {
        self.compile("waiting_server")
    }

    /// Compiles the fixture `keepalive_server.c`.
    pub(crate) fn keepalive_server(&self) -> String {
        self.compile("keepalive_server")
    }

    /// The command of an nginx for each of `slots`, which write their logs to `nginx.SLOT.log` here.
    pub(crate) fn nginx(&self, slots: u32) -> [&'static str; 3] {
        let template = fs::read_to_string(fixture("nginx.conf")).expect("the fixture");
        let directory = self.path().to_str().expect("a path in UTF-8");
        for slot in 0..slots {
            let conf = template.replace("DIR", directory).replace("SLOT", &slot.to_string());
            self.write(&format!("nginx.{slot}.conf"), &conf);
        }
        ["sh", "-c", "exec nginx -e stderr -c $STAGE/nginx.$WORKER_ID.conf"]
    }

    fn compile(&self, name: &str) -> String {
        let program = self.path().join(name);
        if let Some(directory) = env::var_os(fixtures::COMPILED) {
            // As a linker does it: one that runs already runs on.
            let _ = fs::remove_file(&program);
            fs::copy(Path::new(&directory).join(name), &program).expect("a compiled fixture");
        } else {
            fixtures::compile_one(&paths::fixtures().join(format!("{name}.c")), self.path()).expect("cc");
        }
        // Whatever this process's umask is: some workers are other users.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program of our own");
        program.to_str().expect("a path in UTF-8").to_owned()
    }

    /// Says one line to the fixture `report.py` in `slot`, past all that llb steers, and returns its answer.
    #[track_caller]
    pub(crate) fn tell(&self, slot: u32, line: &str) -> String {
        let path = self.path().join(format!("worker.{slot}"));
        // A worker that has just been started may not have got so far.
        let mut connected = None;
        until("a worker takes words", || {
            connected = UnixStream::connect(&path).ok();
            connected.is_some()
        });
        let mut stream = connected.expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        stream.write_all(format!("{line}\n").as_bytes()).expect("a worker that listens");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("a worker that answers");
        answer.trim_end().to_owned()
    }
}

/// Python with packages that `cargo xtask test` has installed there, or else with what the machine has.
pub(crate) fn python_with(packages: &Path) -> [String; 3] {
    ["env".to_owned(), format!("PYTHONPATH={}", packages.display()), "python3".to_owned()]
}

/// The path of a file in `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> String {
    paths::fixtures().join(name).to_str().expect("a path in UTF-8").to_owned()
}
