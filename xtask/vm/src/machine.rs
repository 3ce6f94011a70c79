//! The processors that the virtual machines have.

use llb_kit::musl;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Machine {
    /// This machine's programs are copied into it
    #[value(name = "x86-64")]
    X86,
    /// All in it is compiled for it here, or comes from Debian's packages
    #[value(name = "aarch64")]
    Arm,
}

impl Machine {
    pub(super) fn qemu(self) -> &'static str {
        match self {
            Machine::X86 => "qemu-system-x86_64",
            Machine::Arm => "qemu-system-aarch64",
        }
    }

    /// `-cpu max`, because llb's libraries may want what the oldest model lacks. On aarch64 without the signatures of
    /// pointers as the processor makes them, which take an emulator half of its time.
    pub(super) fn model(self) -> &'static [&'static str] {
        match self {
            Machine::X86 => &["-cpu", "max"],
            Machine::Arm => &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
        }
    }

    /// The kernel's name for the first serial line.
    pub(super) fn console(self) -> &'static str {
        match self {
            Machine::X86 => "ttyS0",
            Machine::Arm => "ttyAMA0",
        }
    }

    /// What is compiled for it, if that is another than usual here.
    pub(super) fn target(self) -> Option<&'static str> {
        match self {
            Machine::X86 => None,
            Machine::Arm => Some(musl::ARM),
        }
    }
}
