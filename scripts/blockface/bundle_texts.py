"""What a person and Seg3D find written in the folder of a place: the script, the README."""

from html import escape

from blockface.bundle_pictures import AROUND, PLACE
from blockface.round_files import TIMES

CORRECTED = "corrected"
SCRIPT, NAPARI, README = "open_in_seg3d.py", "open_in_napari.py", "README.html"


def seg3d_script(name: str, masks: list[str], centre: list[float]) -> str:
    """The Python 3.4 program that Seg3D runs; ``set`` in there is an action of Seg3D.

    ``centre`` (z, y, x, nm) is where the views go.
    """
    return f"""\
# Opens this place in Seg3D. In this folder:  Seg3D2 --python={SCRIPT}
# or, in Seg3D, Window > Python Console:  HERE = r'<this folder>'
#                                         exec(open(HERE + '/{SCRIPT}').read())
import os
import re
import time
told = globals().pop('HERE', os.getcwd())  # typed anew for every place
told = os.path.dirname(os.path.abspath(__file__)) if '__file__' in globals() else told
if not os.path.isfile(os.path.join(told, '{SCRIPT}')):
    raise Exception("{SCRIPT} is not in " + told + "; type first  HERE = r'<its folder>'")
if '[' in told or ']' in told or '"' in told:
    raise Exception('Rename the folder: Seg3D cannot read paths with brackets or quotes: ' + told)
FOLDER = told
MASKS = {masks!r}
CORRECTED = os.path.join(FOLDER, '{CORRECTED}')
def br(p): return '[' + os.path.join(FOLDER, p) + ']'
def load(f, mode):
    return importlayer(filename=br(f + '.nrrd'), importer='[Teem Importer]', mode=mode)
def stamp(f):
    p = os.path.join(CORRECTED, f + '.nrrd')
    return os.stat(p).st_mtime_ns if os.path.exists(p) else None
def note(what):
    if not os.path.isdir(CORRECTED):
        os.mkdir(CORRECTED)
    with open(os.path.join(CORRECTED, '{TIMES}'), 'a') as f:
        f.write(what + '\\t' + time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()) + '\\n')
load('{name}_image', 'data')
unsure_ids = load('{name}_uncertainty', 'data')
mask_ids = []
for f in MASKS:  # what was saved in an earlier sitting, if there was one
    saved = os.path.join('{CORRECTED}', f)
    mask_ids += load(saved if stamp(f) else f, 'single_mask')
for i in unsure_ids:
    set(stateid=i + '::opacity', value=0.3)
for i in mask_ids:
    set(stateid=i + '::opacity', value=0.6)
activatelayer(layerid=mask_ids[0])
opentool(tooltype='painttool')
pickpoint(point=[{centre[2]:.10g}, {centre[1]:.10g}, {centre[0]:.10g}])
note('opened')
def save_corrections():
    note('saving')
    there = os.listdir(CORRECTED)
    before = dict((n, stamp(n)) for n in MASKS)
    exportsegmentation(layers=mask_ids, file_path=br('{CORRECTED}'), mode='single_mask', \
extension='.nrrd')
    for n in MASKS:  # opened twice, its layers are called _1, and so are their files
        twins = [os.path.join(CORRECTED, f) for f in os.listdir(CORRECTED)
                 if f not in there and f[:-5] not in MASKS
                 and re.match(re.escape(n) + '_[0-9]+[.]nrrd$', f)]
        for f in twins:
            os.replace(f, os.path.join(CORRECTED, n + '.nrrd'))
    missing = [n for n in MASKS if stamp(n) in (None, before[n])]
    if missing:
        print('NOT WRITTEN: ' + ', '.join(missing))
    else:
        note('saved')
        print('saved {name}')
print('Correct the masks, then type  save_corrections()  in Window > Python Console \
(Ctrl+Shift+Y).')
"""


def readme(name: str, z: int, number: int, masks: list[str], reason: str) -> str:
    """Five lines for the annotator, as a page with the two pictures of the place.

    ``number`` is that of slice ``z`` in the files, from 0.
    """
    alone = " Erase in one mask what you paint in another." if len(masks) > 1 else ""
    steps = (
        f"<b>Open</b> it, in this folder: <code>Seg3D2 --python={SCRIPT}</code>, or "
        f"<code>python {NAPARI}</code> (needs napari and pynrrd); by hand: "
        f"<code>{name}_image.nrrd</code> and <code>{name}_uncertainty.nrrd</code> as image data, "
        f"{', '.join(f'<code>{m}.nrrd</code>' for m in masks)} each as Single Mask.",
        f"<b>Correct slice {z}</b> (number {number} of the files, counted from 0) in every mask, "
        "all over the image: what you leave unpainted there counts as background." + alone,
        "The slices around it are there to look at; of these only the voxels you change count. "
        "Where the layer <code>uncertainty</code> is bright, the network was unsure.",
        "<b>Save</b>, also what needed no change: type <code>save_corrections()</code> in Window "
        f"&gt; Python Console (Seg3D), press F8 (napari), or export each mask into <code>"
        f"{CORRECTED}/</code> under its own name.",
        f"<b>Hand in</b> this whole folder: copy it to <code>annotations/&lt;dataset&gt;/"
        f"&lt;next round&gt;/{name}</code>.",
    )
    lines = "\n".join(f"<li>{step}</li>" for step in steps)
    return f"""\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Slice {z}</title>
<style>body {{ font: 16px/1.45 sans-serif; max-width: 1100px; margin: 1.5em auto; padding: 0 1em }}
img {{ max-width: 100% }} code {{ background: #eee; padding: 0 .2em }}</style></head>
<body>
<h1>Slice {z}</h1>
<p>Chosen because: {escape(reason or "somebody asked for it")}.</p>
<ol>
{lines}
</ol>
<p><img src="{PLACE}" alt="the place, the predicted masks, and how unsure they are"></p>
<p>Around the ring, from slice to slice:</p>
<p><img src="{AROUND}" alt="the neighbouring slices"></p>
</body></html>
"""


def corrected_text(masks: list[str]) -> str:
    """What stands in the folder for the corrected masks."""
    return (
        "The corrected masks go here, each under its own name, also those that needed no change:\n"
        + "".join(f"{m}.nrrd\n" for m in masks)
        + "predicted.npz holds what was handed out; leave it here.\n"
    )
