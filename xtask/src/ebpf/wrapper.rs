//! What makes the object the same wherever it is built: xtask stands in front of rustc (as RUSTC_WRAPPER) and takes
//! two things out of every crate compiled for the kernel that would differ from one directory to another.
//!
//! - cargo's `-C metadata`, which for a crate outside its workspace's directory (llb-common, and core) hashes the
//!   absolute path, and ends up in the mangled names of functions that are not inlined;
//! - the crate's own directory, which ends up in BTF's line information. Replaced crate by crate, it does not matter
//!   where CARGO_HOME is, nor whether a crate comes from a registry, a mirror or a vendored copy.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::object::TARGET;

/// Set for the cargo that compiles the object.
pub(crate) const WANTED: &str = "LLB_XTASK_IS_RUSTC_WRAPPER";

/// Whether cargo started us in rustc's place.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os(WANTED).is_some()
}

/// Becomes rustc.
pub(crate) fn run() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(rustc) = words.next() else {
        eprintln!("xtask: {WANTED} is set, but no compiler was named; unset it");
        return ExitCode::FAILURE;
    };
    let package = Package::of_cargos_environment();
    let error = Command::new(&rustc).args(located_nowhere(words.collect(), package.as_ref())).exec();
    eprintln!("xtask: cannot start {}: {error}", rustc.display());
    ExitCode::FAILURE
}

/// The package that is being compiled.
struct Package {
    /// Its name and version: unique among the crates of one object.
    id: String,
    dir: OsString,
}

impl Package {
    fn of_cargos_environment() -> Option<Self> {
        let name = std::env::var("CARGO_PKG_NAME").ok()?;
        let version = std::env::var("CARGO_PKG_VERSION").ok()?;
        Some(Self { id: format!("{name}-{version}"), dir: std::env::var_os("CARGO_MANIFEST_DIR")? })
    }
}

/// rustc's arguments with nothing in them that tells one directory from another. Those of build scripts and macros,
/// which run on the host and leave no trace in the object, stay as they are.
fn located_nowhere(mut args: Vec<OsString>, package: Option<&Package>) -> Vec<OsString> {
    let Some(package) = package.filter(|_| is_for_the_kernel(&args)) else { return args };
    for arg in &mut args {
        if arg.to_str().is_some_and(|arg| arg.starts_with("metadata=")) {
            *arg = format!("metadata={}", package.id).into();
        }
    }
    let mut remap = OsString::from("--remap-path-prefix=");
    remap.push(&package.dir);
    remap.push("=");
    remap.push(&package.id);
    args.push(remap);
    args
}

fn is_for_the_kernel(args: &[OsString]) -> bool {
    args.windows(2).any(|pair| pair[0] == OsStr::new("--target") && pair[1] == OsStr::new(TARGET))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located_nowhere(args: &[&str]) -> Vec<String> {
        let package = Package { id: "llb-common-0.1.0".into(), dir: "/home/a/llb/llb-common".into() };
        let args = super::located_nowhere(args.iter().map(OsString::from).collect(), Some(&package));
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn a_kernel_crate_loses_its_directory() {
        assert_eq!(
            located_nowhere(&["--crate-name", "llb_common", "-C", "metadata=d717", "--target", TARGET]),
            [
                "--crate-name",
                "llb_common",
                "-C",
                "metadata=llb-common-0.1.0",
                "--target",
                TARGET,
                "--remap-path-prefix=/home/a/llb/llb-common=llb-common-0.1.0",
            ]
        );
    }

    #[test]
    fn a_host_crate_is_left_alone() {
        let args = ["--crate-name", "build_script_build", "-C", "metadata=d717"];
        assert_eq!(located_nowhere(&args), args);
    }

    #[test]
    fn a_question_about_rustc_itself_is_left_alone() {
        let question: Vec<OsString> = vec!["-vV".into()];
        assert_eq!(super::located_nowhere(question.clone(), None), question);
    }
}
