"""Fit the weights of 1/scores.py and print how they do on photographs that were not fitted.

    python model_repository/precheck/calibrate.py FIT_FOLDER TEST_FOLDER [LARGE_FOLDER]

Text: rectangles of photographs at proxy size, half of them with a caption drawn in (PIL's font and OpenCV's Hershey fonts;
any colour, some outlined or shadowed, some turned). Texture: the truth is taken at full size: a ring's texture is too fine
where the picture differs from its enlarged proxy by more than 4 levels RMS. Needs Pillow beside the model's own libraries.
"""

import importlib.util
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
LOST_LEVELS = 4.0
WORDS = ("Sale", "New arrivals", "50%", "OFF", "Only today", "Fresh", "www.shop.example", "Made in", "SUMMER", "$19.99", "Big")


def load_scores():
    spec = importlib.util.spec_from_file_location("scores", HERE / "1" / "scores.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photos(folder):
    for path in sorted(Path(folder).glob("*")):
        picture = cv2.imread(str(path))
        if picture is not None:
            yield np.ascontiguousarray(picture[..., ::-1])


def proxy_of(image, longest=1024):
    scale = min(1.0, longest / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image


def draw_caption(image, rng):
    """A caption drawn into a copy of `image`, and the rectangle (y0, y1, x0, x1) around it."""
    size = int(np.exp(rng.uniform(np.log(11), np.log(70))))
    text = " ".join(rng.choice(WORDS, rng.integers(1, 4)))
    colour = tuple(int(v) for v in (rng.integers(0, 256, 3) if rng.random() < 0.4 else [rng.choice([0, 20, 240, 255])] * 3))
    edge = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
    layer = Image.new("L", (1024, 200))
    pen = ImageDraw.Draw(layer)
    style = rng.integers(0, 3)
    if rng.random() < 0.7:
        font = ImageFont.load_default(size=size)
        pen.text((20, 40), text, font=font, fill=255)
        alpha = np.array(layer)
    else:
        alpha = np.array(layer)
        face = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
        cv2.putText(alpha, text, (20, 120), face, size / 30, 255, max(1, size // 12), cv2.LINE_AA)
    if rng.random() < 0.2:
        turn = cv2.getRotationMatrix2D((200, 100), float(rng.uniform(-12, 12)), 1.0)
        alpha = cv2.warpAffine(alpha, turn, (1024, 200))
    ys, xs = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    height, width = min(image.shape[0], ys[-1] - ys[0] + 13), min(image.shape[1], xs[-1] - xs[0] + 13)
    cut = np.zeros((height, width), np.uint8)
    part = alpha[ys[0] : ys[0] + height - 6, xs[0] : xs[0] + width - 6]
    cut[6 : 6 + part.shape[0], 6 : 6 + part.shape[1]] = part
    y, x = rng.integers(0, image.shape[0] - height + 1), rng.integers(0, image.shape[1] - width + 1)
    out = image.copy()
    target = out[y : y + height, x : x + width]
    if style == 1:
        _paint(target, cv2.dilate(cut, np.ones((3, 3), np.uint8)), edge)
    if style == 2:
        _paint(target, np.roll(cut, (max(1, size // 14),) * 2, (0, 1)), edge)
    _paint(target, cut, colour)
    pad = rng.integers(0, 12)
    rect = (max(0, y - pad), min(image.shape[0], y + height + pad), max(0, x - pad), min(image.shape[1], x + width + pad))
    return out, rect


def _paint(target, alpha, colour):
    share = alpha[..., None] / 255.0
    target[:] = np.rint(target * (1 - share) + np.array(colour) * share).astype(np.uint8)


def jpeg(image, rng):
    ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 97))])
    assert ok
    return np.ascontiguousarray(cv2.imdecode(data, 1)[..., ::-1])


def text_samples(scores, folder, per_photo, seed):
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for image in photos(folder):
        plain = proxy_of(image)
        for number in range(per_photo):
            drawn, (y0, y1, x0, x1) = draw_caption(plain, rng)
            label = number % 2
            picture = drawn if label else plain
            grey = cv2.cvtColor(jpeg(picture, rng)[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
            features.append(scores.text_features(grey, np.ones(grey.shape, bool)))
            labels.append(label)
    return np.array(features), np.array(labels)


def texture_samples(scores, folder, per_photo, seed):
    rng = np.random.default_rng(seed)
    features, lost = [], []
    for image in photos(folder):
        proxy = proxy_of(image, min(1024, max(image.shape[:2]) // 2))
        full = cv2.resize(proxy, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        error = np.square(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) - cv2.cvtColor(full, cv2.COLOR_RGB2GRAY))
        error = cv2.resize(error, proxy.shape[1::-1], interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(proxy, cv2.COLOR_RGB2GRAY)
        for _ in range(per_photo):
            height, width = (int(v) for v in rng.integers(16, 120, 2))
            y, x = rng.integers(0, grey.shape[0] - height), rng.integers(0, grey.shape[1] - width)
            region = np.zeros(grey.shape, bool)
            region[y : y + height, x : x + width] = True
            window = scores._window(region)
            ring = scores._ring(region[window])
            features.append(scores.texture_features(grey[window], ring))
            lost.append(np.sqrt(error[window][ring].mean()))
    return np.array(features), (np.array(lost) > LOST_LEVELS).astype(int)


def fit(features, labels, ridge=1e-3):
    """Logistic regression by Newton's method on standardised features; weights are returned for the raw ones."""
    mean, deviation = features.mean(0), features.std(0) + 1e-9
    mean[0], deviation[0] = 0.0, 1.0
    x = (features - mean) / deviation
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = x.T @ (x * (p * (1 - p))[:, None]) / len(x) + ridge * np.eye(len(w))
        w -= np.linalg.solve(hessian, x.T @ (p - labels) / len(x) + ridge * w)
    raw = w / deviation
    raw[0] = w[0] - (w[1:] * mean[1:] / deviation[1:]).sum()
    return raw


def report(name, features, labels, weights):
    value = features @ weights
    order = np.argsort(value)
    rank = np.empty(len(value))
    rank[order] = np.arange(1, len(value) + 1)
    ones, zeros = labels.sum(), (1 - labels).sum()
    auc = (rank[labels == 1].sum() - ones * (ones + 1) / 2) / max(1, ones * zeros)
    said = value > 0
    print(
        f"{name}: n {len(labels)}, positive {labels.mean():.2f}, AUC {auc:.3f}, accuracy {(said == labels).mean():.3f}, "
        f"recall {said[labels == 1].mean():.3f}, false alarms {said[labels == 0].mean():.3f}"
    )


def main():
    scores = load_scores()
    fit_folder, test_folder, *large = sys.argv[1:]
    for name, samples, fitted in (("text", text_samples, 16), ("texture", texture_samples, 24)):
        features, labels = samples(scores, fit_folder, fitted, 1)
        weights = fit(features, labels)
        print(f"{name.upper()}_WEIGHTS = np.array({np.round(weights, 4).tolist()})")
        report(name + " fit", features, labels, weights)
        for folder in [test_folder, *(large if name == "texture" else [])]:
            report(f"{name} {Path(folder).name}", *samples(scores, folder, 60, 2), weights)
    image = next(photos(test_folder))
    proxy = cv2.resize(image, (1024, 683))
    mask = np.full((683, 1024, 1), 255, np.uint8)
    times = []
    for _ in range(9):
        start = time.process_time()
        scores.scores(proxy, mask)
        times.append(time.process_time() - start)
    print(f"seconds for 1024 x 683, all of it masked: {sorted(times)[4]:.4f}")


if __name__ == "__main__":
    main()
