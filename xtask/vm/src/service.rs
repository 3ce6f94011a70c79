//! llb as a service of a real systemd: what the virtual machine has for that, and whether all went well.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::copy::{add, add_all, add_libraries, inside};
use super::cpio::Archive;
use super::verdict::{self, number, said};
use llb_kit::paths;

/// The units of `dist/`, and whose processes they are.
const UNITS: [(&str, &str); 2] = [("llb.service", "root"), ("llb-unprivileged.service", "web")];

const SYSTEMD: &str = "/lib/systemd/systemd";
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// What a unit runs first, and of which busybox has none.
const INSTALL: &str = "/usr/bin/install";

/// Where systemd's own targets lie. What they want is left out: no other service runs.
const TARGETS: &str = "/usr/lib/systemd/system";

const SCRIPT: &str = include_str!("service.sh");

/// What is different from a machine as Debian sets it up. Without a journal what services say goes to the console.
const FILES: [(&str, &str); 6] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/:/bin/sh\n"),
    ("etc/group", "root:x:0:\ntty:x:5:\nweb:x:1000:\n"),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/systemd/system.conf", "[Manager]\nDefaultStandardOutput=tty\nDefaultStandardError=tty\n"),
    (
        "etc/systemd/system/default.target",
        "[Unit]\nDescription=llb is tried\nRequires=basic.target service-trial.service\nAfter=basic.target\n",
    ),
    (
        "etc/systemd/system/service-trial.service",
        "[Unit]\nDescription=What tries llb\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh /service.sh\n",
    ),
];

/// The configuration file that both units read.
const CONFIG: &str = r#"command = ["httpd", "-f", "-p", "8080", "-h", "/www"]
port = [8080]
workers = "#;

/// Adds all of it.
pub(super) fn add_to(archive: &mut Archive) -> Result<()> {
    for program in [SYSTEMD, SYSTEMCTL, INSTALL].map(Path::new) {
        add(archive, inside(program)?, program)?;
        add_libraries(archive, program)?;
    }
    add_all(archive, Path::new(TARGETS), &|name| name.ends_with(".target") && name != "default.target")?;
    for (unit, _) in UNITS {
        add(archive, &format!("etc/systemd/system/{unit}"), &paths::root().join("dist").join(unit))?;
    }
    for (path, content) in FILES {
        archive.file(path, 0, content.as_bytes());
    }
    archive.file("etc/llb/llb.toml", 0, format!("{CONFIG}{}\n", verdict::WORKERS).as_bytes());
    archive.file("service.sh", 0, SCRIPT.as_bytes());
    Ok(())
}

/// Whether each unit started, took its workers over after a crash, reloaded and stopped; how it says so.
pub(super) fn judge(console: &str) -> Result<String> {
    for (unit, user) in UNITS {
        let said = |what: &str| said(console, &format!("{unit} {what}"));
        for (what, wanted) in [
            ("start", "0"),
            ("user", user),
            ("restart", "0"),
            ("kept", "0"),
            ("answers", &verdict::REQUESTS.to_string()),
            ("reload", "0"),
            ("renewed", "0"),
            ("stop", "0 success"),
            ("ended", "0"),
        ] {
            let found = said(what)?;
            ensure!(found == wanted, "{unit}: {what} {found}, not {wanted}");
        }
        let status: Value = serde_json::from_str(said("status")?).context("`llb status --json` is none")?;
        let placed = number(&status["selector"], "first")? + number(&status["selector"], "passed_over")?;
        ensure!(placed >= verdict::REQUESTS, "{unit}: only {placed} connections were placed after the crash: {status}");
    }
    let names = UNITS.map(|(unit, _)| unit).join(" and ");
    Ok(format!("systemd: {names} started, took over after a crash, reloaded and stopped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> String {
        UNITS
            .map(|(unit, user)| {
                let status = r#"{"selector":{"first":14,"passed_over":2}}"#;
                let said = format!(
                    "start 0;user {user};restart 0;kept 0;answers 16;status {status};reload 0;renewed 0;stop 0 success;ended 0"
                );
                said.split(';').map(|line| format!("@vm {unit} {line}\n")).collect::<String>()
            })
            .concat()
    }

    #[test]
    fn units_that_work_pass() {
        assert!(judge(&console()).unwrap().contains("llb-unprivileged.service started"));
    }

    #[test]
    fn what_a_unit_fails_at_is_named() {
        for (from, to, named) in [
            ("llb.service reload 0", "llb.service reload 1", "llb.service: reload 1"),
            ("user web", "user root", "llb-unprivileged.service: user root"),
            ("\"first\":14", "\"first\":13", "only 15 connections"),
            ("stop 0 success", "stop 0 timeout", "stop 0 timeout"),
            ("@vm llb.service ended 0", "", "llb.service ended"),
        ] {
            let error = judge(&console().replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
