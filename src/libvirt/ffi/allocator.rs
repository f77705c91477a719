//! How the C library's allocator, which both libvirt and we use, treats large buffers.

/// From this size on, a buffer is taken from the kernel by itself and given back when it is freed. It is what glibc
/// begins with, before it adapts to what it sees.
#[cfg(target_env = "gnu")]
const LARGE: std::ffi::c_int = 128 * 1_024;

/// Has large buffers given back to the kernel when they are freed. To be called before other threads are started.
///
/// glibc moves its limit up with the first large buffer that is freed (a page of metrics, a push). From then on it keeps
/// such buffers, and that for each thread which had one: with 100 VMs and a scrape now and then, 2 MiB that nothing uses.
pub(crate) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two integers and sets a limit; whoever allocates meanwhile sees the old one or the new one, and
    // either is right.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
