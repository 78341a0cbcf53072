//! The target `raster` under libFuzzer.
#![no_main]
#![allow(missing_docs, unsafe_code)]

phys_instruct_fuzz::libfuzzer!("raster");
