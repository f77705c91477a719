//! The names of a closed set.

/// The names of an array's values, in its order, as a constant: each value's `as_str`. A macro, because a trait's
/// functions cannot be called in a constant.
macro_rules! names {
    ($all:expr) => {{
        let mut names = [""; $all.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = $all[index].as_str();
            index += 1;
        }
        names
    }};
}

pub(crate) use names;
