//! The book quotes this crate word for word.

const CHAPTER: &str = include_str!("../../../book/src/own-pde.md");
const SOURCES: [&str; 5] = [
    include_str!("../src/bin/reaction-diffusion-cli.rs"),
    include_str!("../src/lib.rs"),
    include_str!("../src/main.rs"),
    include_str!("../src/pde.rs"),
    include_str!("../src/residual.rs"),
];

#[test]
fn every_extract_is_in_the_code() {
    let blocks = CHAPTER.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let extracts: Vec<&str> = blocks.collect();
    assert!(extracts.len() > 5, "only {} extracts found", extracts.len());
    for extract in extracts {
        assert!(SOURCES.iter().any(|source| source.contains(extract)), "not found:\n{extract}");
    }
}
