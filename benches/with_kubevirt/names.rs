//! What the VirtualMachineInstances are called.

/// The namespace of all VirtualMachineInstances.
pub(crate) const NAMESPACE: &str = "bench";

/// The name of the VM with this number. All names have the same length.
pub(crate) fn name(number: u32) -> String {
    format!("vm-{number:04}")
}
