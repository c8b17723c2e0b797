//! Sets the condition that cargo-fuzz sets, so that the targets can be checked without it.

fn main() {
    println!("cargo::rustc-cfg=fuzzing");
}
