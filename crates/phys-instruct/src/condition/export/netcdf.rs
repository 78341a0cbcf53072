//! The layers of an answer as a NetCDF-3 file in memory.

use std::cell::RefCell;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use netcdf3::{DataSet, FileWriter, InvalidDataSet, Version};
use phys_instruct_physics::Channel;

use super::{Layer, Layers};
use crate::{Error, Result};

impl Layers<'_> {
    /// The bytes of a NetCDF-3 file.
    pub(super) fn netcdf(&self, path: &Path) -> Result<Vec<u8>> {
        let failed = |error: &dyn std::fmt::Debug| Error::BadFile {
            path: path.into(),
            reason: format!("NetCDF: {error:?}"),
        };
        let set = self.netcdf_set().map_err(|error| failed(&error))?;

        let bytes = Shared::default();
        let name = path.to_string_lossy();
        let mut file = FileWriter::open_seek_write(&name, Box::new(bytes.clone()))
            .map_err(|error| failed(&error))?;
        file.set_def(&set, Version::Offset64Bit, 0).map_err(|error| failed(&error))?;

        for (name, along) in ["y", "x"].into_iter().zip(&self.points) {
            file.write_var_f64(name, along).map_err(|error| failed(&error))?;
        }
        for (name, values) in self.members() {
            file.write_var_f32(name, &values).map_err(|error| failed(&error))?;
        }
        for layer in &self.layers {
            file.write_var_f32(&layer.name, &layer.values).map_err(|error| failed(&error))?;
        }
        file.close().map_err(|error| failed(&error))?;
        Ok(bytes.0.take().into_inner())
    }

    /// The names, dimensions and words of a NetCDF file.
    fn netcdf_set(&self) -> std::result::Result<DataSet, InvalidDataSet> {
        let mut set = DataSet::new();
        set.add_global_attr_string("title", &self.title)?;
        set.add_fixed_dim("member", self.posterior.samples.count)?;
        for (name, words, along) in
            [("y", self.along_y, &self.points[0]), ("x", "x", &self.points[1])]
        {
            set.add_fixed_dim(name, along.len())?;
            set.add_var_f64(name, &[name])?;
            set.add_var_attr_string(name, "long_name", words)?;
        }

        for Channel { name, meaning, unit, .. } in &self.channels {
            set.add_var_f32(name, &["member", "y", "x"])?;
            describe(&mut set, name, meaning, unit.as_deref())?;
        }
        for Layer { name, meaning, unit, .. } in &self.layers {
            set.add_var_f32(name, &["y", "x"])?;
            describe(&mut set, name, meaning, unit.as_deref())?;
        }
        Ok(set)
    }
}

/// Gives a variable its words and its unit, where it is known.
fn describe(
    set: &mut DataSet,
    name: &str,
    meaning: &str,
    unit: Option<&str>,
) -> std::result::Result<(), InvalidDataSet> {
    set.add_var_attr_string(name, "long_name", meaning)?;
    unit.map_or(Ok(()), |unit| set.add_var_attr_string(name, "units", unit))
}

/// Bytes in memory that the writer fills and that are taken afterwards.
#[derive(Debug, Clone, Default)]
struct Shared(Rc<RefCell<Cursor<Vec<u8>>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}
