//! A thread of another process that is held where it is, as one that hangs would be.
#![expect(unsafe_code, reason = "each call here is one system call, with its contract beside it")]

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::ptr;

/// A thread that does not run until this is dropped, while the others of its process do (ptrace(2); a signal would stop all
/// of them). It is held by the thread that has made this.
pub(crate) struct Held {
    thread: libc::pid_t,
    _of_this_thread: PhantomData<*const ()>,
}

impl Held {
    /// Holds the thread of that name of a child process.
    ///
    /// # Errors
    /// The system's, where a process may not trace its children (`kernel.yama.ptrace_scope` above 1, or a sandbox).
    pub(crate) fn thread(process: u32, name: &str) -> io::Result<Self> {
        let tasks = fs::read_dir(format!("/proc/{process}/task"))?;
        let named = |folder: &fs::DirEntry| {
            fs::read_to_string(folder.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let found = tasks.filter_map(Result::ok).find(named).ok_or(io::ErrorKind::NotFound)?;
        let thread = found.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        trace(libc::PTRACE_SEIZE, thread)?;
        let held = Self { thread, _of_this_thread: PhantomData };
        trace(libc::PTRACE_INTERRUPT, thread)?;
        let mut status = 0;
        // SAFETY: `status` is one int that outlives the call, which writes it.
        if unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) } == -1 {
            return Err(io::Error::last_os_error());
        }
        assert!(libc::WIFSTOPPED(status), "the thread has ended: {status:x}");
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that has ended meanwhile has no thread to let go.
        let _ = trace(libc::PTRACE_DETACH, self.thread);
    }
}

fn trace(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: of these three requests none reads or writes memory of this process.
    if unsafe { libc::ptrace(request, thread, nothing, nothing) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
