// UNTESTED: neither compiled nor run by lineside's tests. Prove it on the bundle's vectors before you rely on it.
//
// Judge a raw frame with a lineside bundle, by the package Microsoft.ML.OnnxRuntime:
//     Judge MODEL/model.onnx MODEL/vectors/ok.u8 HEIGHT WIDTH CHANNELS    (shapes stand in vectors.json)
// Set ORT_DISABLE_TELEMETRY=1 in the environment: a build of ONNX Runtime may report that it is used, unless told not to.

using System;
using System.IO;
using System.Linq;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

if (args.Length != 5)
{
    Console.Error.WriteLine("usage: Judge model.onnx frame.u8 HEIGHT WIDTH CHANNELS");
    return 2;
}
using var options = new SessionOptions { IntraOpNumThreads = 1 };
options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
using var session = new InferenceSession(args[0], options);

// The contract (JSON) says what goes in, what comes out and what the thresholds are worth; contract.json is the same.
string contract = session.ModelMetadata.CustomMetadataMap["lineside"];

int[] shape = { 1, int.Parse(args[2]), int.Parse(args[3]), int.Parse(args[4]) }; // N, H, W, C; red first
byte[] samples = File.ReadAllBytes(args[1]);
if (samples.Length != shape[1] * shape[2] * shape[3])
{
    Console.Error.WriteLine($"{args[1]}: {samples.Length} bytes do not fit the shape");
    return 1;
}

// threshold_ng and threshold_review (float [1]) could be fed too; then the contract's statement holds no longer.
var frame = NamedOnnxValue.CreateFromTensor("frame", new DenseTensor<byte>(samples, shape));
using var results = session.Run(new[] { frame }, new[] { "score", "verdict", "gate" });
float score = results.First(r => r.Name == "score").AsTensor<float>().First();
long verdict = results.First(r => r.Name == "verdict").AsTensor<long>().First();
long gate = results.First(r => r.Name == "gate").AsTensor<long>().First();
Console.WriteLine($"{new[] { "OK", "NG", "REVIEW", "NO_CALL" }[verdict]} {score} gate {gate}");
return 0;
