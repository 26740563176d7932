"""What training does to its crops is what the published figures and the encoders do to pictures. Skipped without torch."""

import cv2
import numpy as np
import pytest

from tests.models.pictures import texture

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("scale", [2, 4])
def test_reduced_is_the_reference_to_the_last_bit(scale: int) -> None:
    from training.degrade import MARGIN_PX, reduced
    from training.imaging import downscale

    high = texture(24 * scale, 32 * scale)
    wanted = downscale(high, scale)[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    ours = reduced(torch.from_numpy(high).permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(np.rint(ours.numpy() * 255), wanted)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_is_that_of_an_encoder_within_its_rounding(quality: int) -> None:
    from training.degrade import jpeg

    picture = texture(64, 96)
    ours = jpeg(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, torch.tensor([float(quality)]))
    coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    wanted = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    off = np.rint(ours[0].permute(1, 2, 0).numpy() * 255) - wanted
    lost = wanted - picture
    assert np.sqrt(np.mean(off**2)) < 0.5 * np.sqrt(np.mean(lost**2)) + 0.5


def test_crops_are_pieces_of_the_photographs() -> None:
    from training.data import Photos

    pictures = [texture(40, 56, 1), texture(20, 90, 2), texture(64, 33, 3)]
    crops = Photos(pictures).crops(np.random.default_rng(0), 50, 24).permute(0, 2, 3, 1).numpy()
    turns = [np.rot90(crop, turn)[:, ::flip] for crop in crops for turn in range(4) for flip in (1, -1)]
    places = {
        picture[y : y + 24, x : x + 24].tobytes()
        for picture in pictures
        for y in range(picture.shape[0] - 23)
        for x in range(picture.shape[1] - 23)
    }
    found = [turned.tobytes() in places for turned in turns]
    assert np.array(found).reshape(50, 8).sum(1).tolist() == [1] * 50
