//! Where and when a run was made.

use std::fs;
use std::process::Command;

use anyhow::Result;

use llb_kit::sh;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn look() -> Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu: model(&cpus).unwrap_or("a CPU without a name").to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            date: sh::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned(),
        })
    }

    pub(crate) fn line(&self) -> String {
        let Self { cores, cpu, kernel, date } = self;
        format!("{cores} cores ({cpu}), Linux {kernel}, {date}")
    }
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_cpus() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Other\n"), Some("Fast One"));
        assert_eq!(model("BogoMIPS : 1\n"), None);
    }
}
