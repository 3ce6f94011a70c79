//! llb in a container of Podman's, with the flags that `docs/containers.md` names.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use crate::harness::{Launcher, Stage, Tally, fleet::LLB, get, until};
use llb::observe::status::Status;
use llb_kit::paths;

const ADDRESS: &str = "127.0.0.1:8080";

/// As the page has them for all, and for Podman.
const FLAGS: [&str; 12] = [
    "--read-only",
    "--tmpfs=/run/llb",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--cap-add=BPF",
    "--cap-add=NET_ADMIN",
    "--cap-add=PERFMON",
    "--cap-add=SYS_PTRACE",
    "--security-opt=unmask=/sys/fs/cgroup",
    // What is the machine's: some may not raise limits, and have controllers of the first version. And the test's network.
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--network=host",
];

/// What makes Podman's profile one for llb, as on the page.
const PROFILE: &str =
    r#".syscalls |= map(.names -= ["bpf"]) | .syscalls += [{names: ["bpf"], action: "SCMP_ACT_ALLOW"}]"#;
const PODMANS_PROFILE: &str = "/usr/share/containers/seccomp.json";

/// cgroup v2 is all there is, as Podman wants it, whatever else this machine has.
const ENTER: &str = "mount -t cgroup2 none /sys/fs/cgroup && exec podman \"$@\"";

/// What Podman keeps lies on the stage.
struct Podman<'a> {
    stage: &'a Stage,
    root: PathBuf,
}

impl<'a> Podman<'a> {
    /// A root file system of llb, a server and their libraries.
    fn new(stage: &'a Stage) -> Self {
        let root = stage.path().join("root");
        fs::create_dir(&root).expect("a directory of our own");
        let ldd = Command::new("ldd").arg(LLB).output().expect("ldd");
        let ldd = String::from_utf8(ldd.stdout).expect("UTF-8");
        for library in ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))) {
            let to = root.join(&library[1..]);
            fs::create_dir_all(to.parent().expect("a directory")).expect("a directory of our own");
            fs::copy(library, to).expect("a library");
        }
        Podman { stage, root }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
        command.args(["--cgroup-manager=cgroupfs", "--runtime=runc", "--storage-driver=vfs"]);
        for (option, name) in [("--root", "s"), ("--runroot", "r"), ("--tmpdir", "t")] {
            command.arg(option).arg(self.stage.path().join(name));
        }
        command.args(words);
        command
    }

    /// A container of llb with these flags and words.
    fn run(&self, flags: &[&str], words: &[&str]) -> Command {
        let server = self.stage.static_server();
        let volumes = [format!("--volume={LLB}:/llb:ro"), format!("--volume={server}:/server:ro")];
        let mut command = self.command(&["run", "--rm", "--name=llb", "--pids-limit=-1"]);
        command.args(volumes).args(flags).arg("--rootfs").arg(&self.root).arg("/llb").args(words);
        command
    }

    /// What llb in the running container says to a command.
    fn llb(&self, words: &[&str]) -> String {
        let output = self.command(&[&["exec", "llb", "/llb"], words].concat()).output().expect("podman");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The profile that lets llb load its programs.
    fn profile(&self) -> String {
        let path = self.stage.path().join("seccomp.json");
        let mut jq = Command::new("jq");
        let made = jq.args([PROFILE, PODMANS_PROFILE]).stdout(File::create(&path).expect("a file of our own")).status();
        assert!(made.expect("jq").success());
        format!("--security-opt=seccomp={}", path.display())
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // There may be none.
        let _ = self.command(&["rm", "--force", "--time=0", "llb"]).output();
    }
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn podman_runs_it_with_named_flags() {
    let stage = Stage::new();
    let podman = Podman::new(&stage);
    let profile = podman.profile();
    let flags = [&FLAGS[..], &[&profile]].concat();
    let log = stage.path().join("log");
    let errors = File::create(&log).expect("a file of our own");
    let words = ["run", "-n", "2", "-p", "8080", "--policy", "round-robin", "--", "/server", "8080"];
    let mut child: Child = podman.run(&flags, &words).stdout(Stdio::null()).stderr(errors).spawn().expect("podman");
    let said = || fs::read_to_string(&log).expect("a file of our own");
    until("it serves", || {
        assert!(child.try_wait().expect("a child").is_none(), "it has ended: {}", said());
        said().contains("llb: serving") && TcpStream::connect(ADDRESS).is_ok()
    });

    let status =
        || serde_json::from_str::<Status>(&podman.llb(&["status", "--json"])).expect("a status of a running fleet");
    until("both are steered", || status().groups.iter().any(|group| group.slots == [0, 1]));
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 8);
    let status = status();
    assert_eq!((tally.of(0), tally.of(1)), (4, 4), "{status:#?}");
    assert_eq!(status.pid, 1);
    podman.llb(&["reload"]);
    let stopped = podman.command(&["stop", "--time=40", "llb"]).output().expect("podman");
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert_eq!(child.wait().expect("a child").code(), Some(0), "{}", said());
}

#[test]
fn the_doctor_names_podmans_flags() {
    let stage = Stage::new();
    let podman = Podman::new(&stage);
    let profile = podman.profile();
    let all = [&FLAGS[..], &[&profile]].concat();
    let output = podman.run(&all, &["doctor"]).output().expect("podman");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for (without, remedy) in
        [(profile.as_str(), "Podman: --security-opt seccomp="), (FLAGS[8], "unmask=/sys/fs/cgroup")]
    {
        let flags: Vec<&str> = all.iter().copied().filter(|flag| *flag != without).collect();
        let output = podman.run(&flags, &["doctor"]).output().expect("podman");
        let said = text(&output);
        assert!(output.status.code() == Some(3) && said.contains(remedy), "{without}: {said}");
    }
}

/// What the recipe for an image has its container run, without the image.
#[test]
fn the_recipes_command_serves() {
    let recipe = fs::read_to_string(paths::root().join("dist/Containerfile")).expect("the recipe");
    let of = |key: &str| recipe.lines().find_map(|line| line.strip_prefix(key)).expect(key);
    let port = of("ENV PORT=");
    assert_eq!(port, of("EXPOSE "));
    assert_eq!(of("ENTRYPOINT "), "[\"/usr/local/bin/llb\"]");
    let words: Vec<String> = serde_json::from_str(of("CMD ")).expect("a list of words");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["run", options @ .., "--", "node", file] = &words[..] else { panic!("{words:?}") };
    let file = paths::root().join("examples/node").join(file);
    let stage = Stage::new();
    let by = Launcher { env: vec![("PORT".to_owned(), port.to_owned())], ..Launcher::default() };
    let _fleet = stage.start_by(&by, options, &["node", file.to_str().expect("UTF-8")]);
    assert!(get(&format!("127.0.0.1:{port}"), "/").body.starts_with("worker "));
}

/// The page's own words, so that what is tried is what is written.
#[test]
fn the_page_names_what_is_tried() {
    let page = fs::read_to_string(paths::root().join("docs/containers.md")).expect("a page");
    for flag in &FLAGS[..9] {
        assert!(page.contains(&flag.replacen('=', " ", 1)), "{flag}");
    }
    assert!(page.contains(PROFILE) && page.contains(PODMANS_PROFILE), "{page}");
}
