//! How a fleet is started.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::libc;

use super::{fleet::LLB, output::Output};

/// How a fleet is started, if not by running the binary as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launcher {
    /// The command that becomes llb by exec alone, so that its pid is llb's.
    pub wrapper: Vec<String>,
    /// The binary, if another user is to run it.
    pub binary: Option<PathBuf>,
    /// The cgroup that the wrapper enters.
    pub cgroup: Option<PathBuf>,
    /// Who owns the runtime directory.
    pub owner: Option<u32>,
    /// Variables that llb sees.
    pub env: Vec<(String, String)>,
    /// The terminal that its standard input and output are.
    pub terminal: Option<PathBuf>,
}

impl Launcher {
    /// Starts it: llb, and what it writes to both its outputs.
    pub(super) fn start(
        &self,
        name: &str,
        runtime: &Path,
        stage: &Path,
        args: &[&str],
        command: &[&str],
    ) -> (Child, Output, Output) {
        let llb = self.binary.as_deref().unwrap_or(Path::new(LLB)).to_str().expect("a path in UTF-8");
        let words: Vec<&str> = self.wrapper.iter().map(String::as_str).chain([llb]).collect();
        let terminal = self.terminal.as_ref().map(|path| {
            fs::File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).expect("a terminal")
        });
        let stdin = terminal.as_ref().map_or_else(Stdio::null, |terminal| terminal.try_clone().expect("a copy").into());
        let mut master = Command::new(words[0])
            .args(&words[1..])
            .args(["run", "--name", name, "--runtime-dir"])
            .arg(runtime)
            .args(args)
            .arg("--")
            .args(command)
            .env("STAGE", stage)
            .envs(self.env.iter().cloned())
            .stdin(stdin)
            .stdout(terminal.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the llb binary");
        let stdout = master.stdout.take().map_or_else(|| Output::of(io::empty()), Output::of);
        let stderr = Output::of(master.stderr.take().expect("a piped stderr"));
        (master, stdout, stderr)
    }
}
