"""The TIFF and NIfTI stacks of shared/data, with the shapes and voxel sizes their READMEs tell."""

import pytest
import tifffile

from blockface.errors import InputError
from blockface.formats import tiff
from blockface.stack import check_stack, open_stack

KNOWN = [
    ("flyem_fibsem_medulla/raw_z000-159.tif", (160, 250, 250), "uint8", (10, 10, 10)),
    ("flyem_fibsem_medulla/neurons_z000-159.tif", (160, 250, 250), "uint16", (10, 10, 10)),
    ("isbi2012_sstem/raw_z00-19.tif", (20, 512, 512), "uint8", (50, 4, 4)),
    ("isbi2012_sstem/membrane_z00-19.tif", (20, 512, 512), "uint8", (50, 4, 4)),
]


@pytest.mark.parametrize(("file", "shape", "dtype", "size"), KNOWN)
def test_shape_type_and_voxel_size(shared_data, file, shape, dtype, size):
    stack = check_stack(shared_data / file)
    assert stack.shape == shape
    assert stack.dtype == dtype
    assert stack.voxel_size_nm == pytest.approx(size)
    assert stack.read(3, 5).std() > 1


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("cdeep3m_sbem_mito/raw_z010-029.tif", "z unknown, y unknown, x unknown"),
        ("platelet_sbfsem/50-images_z0.tif", "z unknown, y 10 nm, x 10 nm"),
        ("sem_dwell_pairs/dwell_noisy_100ns.tif", r"z unknown, y 5\.83 nm, x 5\.83 nm"),
    ],
)
def test_what_is_not_told_has_to_be_configured(shared_data, file, told):
    with pytest.raises(InputError, match=told):
        open_stack(shared_data / file)
    assert open_stack(shared_data / file, (40, 10, 10)).voxel_size_nm == (40, 10, 10)


def test_labels_from_nifti(shared_data):
    file = sorted((shared_data / "urocell_mito_labels").glob("*.nii.gz"))[0]
    with pytest.raises(InputError, match="voxel size unknown"):
        open_stack(file, labels=True)  # the header says 1, 1, 1
    stack = open_stack(file, (15, 16, 16), labels=True)
    assert stack.dtype.kind in "iu"
    assert stack.read(0, stack.shape[0]).max() > 1


def test_thermo_fei_metadata_tell_the_pixel(shared_data):
    file = shared_data / "sem_dwell_pairs" / "original_files" / "30us_006.tif"
    with tifffile.TiffFile(file) as tif:
        z, y, x = tiff.voxel_size(tif)
    assert z is None
    assert (y, x) == pytest.approx((5.82813, 5.82813))
    with pytest.raises(InputError, match="channels differ in 1904 pixels"):  # a colour data bar
        open_stack(file, (50, y, x))
